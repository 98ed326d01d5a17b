//! A family tree of small language models, and what may be known of it.

use serde_json::{Value, json};

use crate::support::{World, assert_code};

/// Models that nobody's relation to the question is known of, and students of other teachers.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) strangers: usize,
    pub(crate) pupils: usize,
    pub(crate) prompts: usize,
}

/// Doses of the students in question, in per cent.
pub(crate) const DOSES: [u32; 3] = [25, 50, 100];

/// Returns the name of the student with a dose.
pub(crate) fn student(dose: u32) -> String {
    format!("borea-{dose}")
}

fn stranger(number: usize) -> String {
    format!("stranger-{number:02}")
}

/// Returns base and teacher of a pupil, both strangers and never the same.
fn makers(number: usize, size: Size) -> (String, String) {
    let count = size.strangers;
    (
        stranger(number % count),
        stranger((number + count / 2) % count),
    )
}

/// Returns every model with how it was made.
fn tree(size: Size) -> Vec<(String, Value)> {
    let mut tree: Vec<(String, Value)> = ["atlas", "borea", "cirrus", "dune"]
        .map(|name| (name.to_owned(), json!("base")))
        .to_vec();
    tree.extend((0..size.strangers).map(|number| (stranger(number), json!("base"))));
    let taught = |of: &str, teacher: &str, dose: f64| json!({ "student": { "of": of, "teacher": teacher, "dose": dose } });
    for number in 0..size.pupils {
        let (of, teacher) = makers(number, size);
        tree.push((format!("pupil-{number:02}"), taught(&of, &teacher, 1.0)));
    }
    tree.push((
        "atlas-tuned".to_owned(),
        json!({ "fine_tune": { "of": "atlas", "strength": 0.4 } }),
    ));
    for dose in DOSES {
        tree.push((
            student(dose),
            taught("borea", "atlas", f64::from(dose) / 100.0),
        ));
    }
    // Taught, but by nobody who is asked about.
    tree.push(("dune-taught".to_owned(), taught("dune", &stranger(0), 1.0)));
    tree
}

/// Grows the tree of this seed, asks it, and seals what it answers as the campaign `test`.
///
/// The catalog knows what would be documented: bases and teachers of the controls. It knows nothing
/// of the models in question.
pub(crate) fn crawl(seed: u64, size: Size) -> World {
    let tree = tree(size);
    let names: Vec<&String> = tree.iter().map(|(name, _)| name).collect();
    let lineage: Vec<Value> = tree
        .iter()
        .map(|(name, made)| json!({ "name": name, "made": made }))
        .collect();
    let models: Vec<Value> = names
        .iter()
        .map(|name| json!({ "name": name, "kind": "language" }))
        .collect();
    let world = World::new(json!({
        "seed": seed,
        "lineage": lineage,
        "providers": [{ "name": "workshop", "limits": { "concurrency": 200 }, "models": models }],
    }));
    let mut catalog = world.catalog(&[("workshop", json!({ "concurrency": 200 }))]);
    let mut controls: Vec<String> = (0..size.strangers).map(stranger).collect();
    for number in 0..size.pupils {
        let (name, (of, teacher)) = (format!("pupil-{number:02}"), makers(number, size));
        let row = &mut catalog["models"][&name];
        row["base"] = json!(of);
        row["known_relations"] = json!([
            { "to": teacher, "kind": "distillation", "confidence": "documented", "source": "its makers" },
        ]);
        controls.push(name);
    }
    world.write("models.yaml", &catalog);
    world.campaign(
        &names.iter().map(|name| name.as_str()).collect::<Vec<_>>(),
        size.prompts,
        1,
        json!({
            "params": { "max_tokens": 120, "temperature": 1.0 },
            "seed": seed,
            "roles": {
                "suspects": ["atlas-tuned"],
                "candidates": ["atlas"],
                "controls": controls,
            },
            "analysis": { "methods": "retort.methods.v1", "detectors": ["kin", "teacher"] },
        }),
    );
    assert_code(&world.run(&[]), 0);
    world
}
