//! What a reader of a statement about a teacher must know.

use retort_fingerprint::Similarities;

use super::{CONFOUNDS, Court, Heard, Rows};

/// Months between releases within which models are of one era.
pub(crate) const ERA_MONTHS: u32 = 6;

/// Returns the notes of a pair: the controls, the specificity, the same era, siblings, confounds.
pub(super) fn of(
    court: &Court<'_>,
    (matrix, rows): (&Similarities, &Rows),
    (suspect, candidate): (usize, usize),
    (heard, controls): (&Heard, &[usize]),
) -> Vec<String> {
    let mut notes = vec![format!(
        "{} controls of {} families; the smallest possible p is {:.4}",
        controls.len(),
        court.families_among(controls),
        1.0 / (controls.len() + 1) as f64
    )];
    if let Some((row, p)) = heard.row.zip(heard.row_p) {
        notes.push(format!(
            "beyond its closeness to other vendors' candidates: {row:.2}, p {p:.3}"
        ));
    }
    notes.push(era(court, (matrix, rows), (suspect, candidate), controls));
    notes.extend(siblings(court, rows, (suspect, candidate), controls));
    if court
        .roles
        .is_older(&court.names[suspect], &court.names[candidate])
    {
        notes.push(format!(
            "the suspect was published before the candidate: no teacher of it (p {:.3} if that \
             were not known)",
            heard.p
        ));
    }
    notes.extend(CONFOUNDS.map(str::to_owned));
    notes
}

/// Repeats the comparison with controls released about when the suspect was.
fn era(
    court: &Court<'_>,
    (matrix, rows): (&Similarities, &Rows),
    (suspect, candidate): (usize, usize),
    controls: &[usize],
) -> String {
    let released = |at: usize| court.roles.facts(&court.names[at]).released;
    let Some(at) = released(suspect) else {
        return "same era: not measured, the suspect's release is not known".to_owned();
    };
    let mut controls = controls.to_vec();
    controls.retain(|c| released(*c).is_some_and(|other| other.gap(at) <= ERA_MONTHS));
    match court.hear((matrix, rows), (suspect, candidate), &controls) {
        Some(heard) => format!(
            "with the {} controls of the same era (release within {ERA_MONTHS} months): effect \
             {:.2}, p {:.3}",
            controls.len(),
            heard.standing,
            heard.p
        ),
        None => format!("same era: not measured, {} controls", controls.len()),
    }
}

/// Returns the difference in differences against controls of the suspect's base.
fn siblings(
    court: &Court<'_>,
    rows: &Rows,
    (suspect, candidate): (usize, usize),
    controls: &[usize],
) -> Option<String> {
    let name = |at: usize| &court.names[at];
    let siblings = controls
        .iter()
        .filter(|c| court.roles.share_base(name(suspect), name(**c)));
    let own = rows.get(court, suspect, candidate)?;
    let differences: Vec<f64> = siblings
        .filter_map(|sibling| Some(own - rows.get(court, *sibling, candidate)?))
        .collect();
    if differences.is_empty() {
        return None;
    }
    let above = differences
        .iter()
        .filter(|difference| **difference > 0.0)
        .count();
    Some(format!(
        "difference in differences against {} controls of the same base: above {above} of them, \
         mean {:.2}",
        differences.len(),
        differences.iter().sum::<f64>() / differences.len() as f64
    ))
}
