//! `retort power`: what a question needs, and what that costs, before a campaign is paid for.

use retort_detect::analysis::Detector;
use retort_detect::power::{Design, Outlook, Target, outlook};
use retort_plan::{Estimate, Plan};
use retort_types::Mode;
use serde::Serialize;

use super::Context;
use crate::cli::{PowerArgs, Question};
use crate::failure::Failure;
use crate::files::{self, Loaded};
use crate::output::{self, Table, count, dollars, line};

/// Suites whose replies say nothing of style: they are no prompts of `kin` and `teacher`.
const STYLELESS: [&str; 3] = ["nulls", "random", "tokens"];

/// Suites whose replies do not vary: they are no prompts of `same`.
const FIXED: [&str; 2] = ["nulls", "tokens"];

/// Models besides controls where no campaign says: a suspect and a candidate.
const OTHERS: u32 = 2;

/// What a design takes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Takes {
    /// Requests, one for each draw, prompt and model.
    requests: u64,
    /// US dollars when answers are short, by the campaign's mean price of a request.
    cost_usd_low: Option<f64>,
    /// US dollars when answers use their allowance.
    cost_usd_high: Option<f64>,
}

/// What `--json` prints of a question.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    outlook: Outlook,
    takes: Takes,
    needed_takes: Option<Takes>,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Figures {
    campaign: Option<String>,
    target: Target,
    questions: Vec<Row>,
}

/// What a campaign says about itself, as far as power depends on it.
struct Asked {
    campaign: Option<String>,
    controls: u32,
    /// Models besides the controls.
    others: u32,
    candidates: u32,
    plan: Option<(Plan, Estimate)>,
}

/// Says what questions need.
pub(crate) fn power(context: &Context, args: &PowerArgs) -> Result<u8, Failure> {
    let asked = asked(context, args)?;
    let target = Target {
        alpha: args.alpha,
        power: args.power,
        candidates: args.candidates.unwrap_or(asked.candidates),
        share: args.share,
    };
    let questions = match args.question {
        Some(question) => vec![detector(question)],
        None => vec![
            Detector::Kin,
            Detector::Genes,
            Detector::Teacher,
            Detector::Same,
        ],
    };
    let rows: Vec<Row> = questions
        .into_iter()
        .map(|question| row(question, &asked, args, &target))
        .collect();
    if args.json {
        output::json(&Figures {
            campaign: asked.campaign,
            target,
            questions: rows,
        })?;
        return Ok(0);
    }
    show(&asked, &target, &rows);
    Ok(0)
}

const fn detector(question: Question) -> Detector {
    match question {
        Question::Kin => Detector::Kin,
        Question::Genes => Detector::Genes,
        Question::Same => Detector::Same,
        Question::Teacher => Detector::Teacher,
    }
}

fn asked(context: &Context, args: &PowerArgs) -> Result<Asked, Failure> {
    let Some(path) = &args.campaign else {
        return Ok(Asked {
            campaign: None,
            controls: 0,
            others: OTHERS,
            candidates: 1,
            plan: None,
        });
    };
    let loaded = files::load(path, &context.loaded.config, None, &context.clock)?;
    let Loaded { plan, resolved, .. } = loaded;
    let estimate = plan.estimate(&resolved.domains);
    let roles = &plan.campaign().roles;
    let size = |list: &[retort_types::ModelName]| u32::try_from(list.len()).unwrap_or(u32::MAX);
    let models = size(&plan.campaign().models);
    let controls = size(&roles.controls);
    Ok(Asked {
        campaign: Some(plan.campaign().id.to_string()),
        controls,
        others: models.saturating_sub(controls).max(1),
        candidates: size(&roles.candidates).max(1),
        plan: Some((plan, estimate)),
    })
}

/// Returns the prompts that a question reads, and the draws of each.
fn prompts_of(question: Detector, plan: &Plan) -> (u32, u32) {
    let document = plan.document();
    let reads = |suite: &&retort_plan::PlannedSuite| {
        let name = suite.name.as_str();
        match question {
            Detector::Genes => suite.mode == Mode::Completion || name == "genes",
            Detector::Same => !FIXED.contains(&name),
            Detector::Kin | Detector::Teacher => {
                suite.mode == Mode::Chat && !STYLELESS.contains(&name)
            }
        }
    };
    let arms = u32::try_from(document.arms.len()).unwrap_or(u32::MAX);
    let rounds = document.campaign.rounds();
    let (mut prompts, mut squares) = (0_u32, 0.0);
    for suite in document.suites.iter().filter(reads) {
        let own = suite.prompts.saturating_mul(arms);
        prompts = prompts.saturating_add(own);
        let draws = f64::from(suite.samples) * f64::from(rounds);
        squares += f64::from(own) * draws * draws;
    }
    if prompts == 0 {
        return (0, 0);
    }
    // What adds up over prompts is squares: suites of unlike draws count as their quadratic mean.
    let draws = (squares / f64::from(prompts)).sqrt();
    let whole = (1..=u32::from(u16::MAX)).take_while(|whole| f64::from(*whole) <= draws + 1e-9);
    (prompts, whole.last().unwrap_or(1))
}

fn row(question: Detector, asked: &Asked, args: &PowerArgs, target: &Target) -> Row {
    let plan = asked.plan.as_ref();
    let (prompts, draws) = match plan {
        Some((plan, _)) => prompts_of(question, plan),
        None => without_campaign(question),
    };
    let design = Design {
        prompts: args.prompts.unwrap_or(prompts),
        draws: args.samples.unwrap_or(draws),
        controls: args.controls.unwrap_or(asked.controls),
    };
    let outlook = outlook(question, design, asked.others, target);
    let estimate = plan.map(|(_, estimate)| estimate);
    let takes = |design: Design| takes(question, design, asked.others, estimate);
    Row {
        takes: takes(design),
        needed_takes: outlook.needed.map(takes),
        outlook,
    }
}

/// Returns the prompts and draws to begin with where no campaign says: none are planned, but draws
/// decide which figures hold, and `same` needs prompts to say how many draws.
const fn without_campaign(question: Detector) -> (u32, u32) {
    match question {
        Detector::Kin | Detector::Teacher => (0, 1),
        Detector::Genes => (0, 16),
        Detector::Same => (40, 0),
    }
}

/// Returns what a design takes: a control counts only where controls are compared with.
fn takes(question: Detector, design: Design, others: u32, estimate: Option<&Estimate>) -> Takes {
    let models = match question {
        Detector::Same => OTHERS,
        Detector::Kin | Detector::Genes | Detector::Teacher => {
            others.saturating_add(design.controls)
        }
    };
    let draws = u64::from(design.prompts) * u64::from(design.draws);
    let requests = draws.saturating_mul(u64::from(models));
    let share = |cost: fn(&Estimate) -> Option<f64>| {
        let estimate = estimate.filter(|estimate| estimate.samples > 0)?;
        Some(cost(estimate)? / estimate.samples as f64 * requests as f64)
    };
    Takes {
        requests,
        cost_usd_low: share(|estimate| estimate.cost_usd_low),
        cost_usd_high: share(|estimate| estimate.cost_usd_high),
    }
}

fn show(asked: &Asked, target: &Target, rows: &[Row]) {
    if let Some(campaign) = &asked.campaign {
        line(&format!("campaign  {campaign}"));
    }
    line(&format!(
        "wanted    power {} at level {}, {} candidate{}",
        target.power,
        target.alpha,
        target.candidates,
        if target.candidates == 1 { "" } else { "s" }
    ));
    line("");
    let mut table = Table::new(
        "llrrrrrr",
        &[
            "question", "", "prompts", "draws", "controls", "power", "requests", "cost",
        ],
    );
    for row in rows {
        let name = name(row.outlook.question);
        if asked.campaign.is_some() || row.outlook.power > 0.0 {
            table.row(cells(
                name,
                "as it stands",
                row.outlook.design,
                &share(row.outlook.power),
                &row.takes,
            ));
        }
        match row.outlook.needed.zip(row.needed_takes) {
            Some((design, takes)) => {
                let wanted = format!("{:.2}", target.power);
                table.row(cells(name, "needed", design, &wanted, &takes));
            }
            None => table.row(vec![
                name.to_owned(),
                "not reached".to_owned(),
                String::new(),
                String::new(),
                String::new(),
                format!("at most {}", share(row.outlook.power_most)),
            ]),
        }
    }
    line(&table.to_string());
    line("");
    for row in rows {
        let outlook = &row.outlook;
        let name = name(outlook.question);
        line(&format!("{name}: {}; {}", outlook.effect, outlook.source));
        let is_design = asked.campaign.is_some() || outlook.design.controls > 0;
        let smallest = outlook.smallest_p.filter(|p| *p > outlook.alpha_each);
        if let Some(smallest) = smallest.filter(|_| is_design) {
            line(&format!(
                "{name}: {} controls allow no p below {smallest:.3}, and {:.4} is asked for",
                outlook.design.controls, outlook.alpha_each
            ));
        }
    }
}

fn cells(name: &str, what: &str, design: Design, power: &str, takes: &Takes) -> Vec<String> {
    let controls = if name == "same" {
        String::new()
    } else {
        design.controls.to_string()
    };
    let cost = match (takes.cost_usd_low, takes.cost_usd_high) {
        (Some(low), Some(high)) => format!("{} to {}", dollars(low), dollars(high)),
        _ => "no prices".to_owned(),
    };
    vec![
        name.to_owned(),
        what.to_owned(),
        design.prompts.to_string(),
        design.draws.to_string(),
        controls,
        power.to_owned(),
        count(takes.requests),
        cost,
    ]
}

const fn name(question: Detector) -> &'static str {
    match question {
        Detector::Kin => "kin",
        Detector::Genes => "genes",
        Detector::Same => "same",
        Detector::Teacher => "teacher",
    }
}

fn share(power: f64) -> String {
    format!("{power:.2}")
}
