//! Trees of known shape.

use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

use super::*;

proptest! {
    #[test]
    fn any_distances_make_a_tree_that_holds_every_name_once(
        count in 3_usize..12,
        cells in prop::collection::vec(0.0_f64..1e6, 144),
    ) {
        let symmetric = |cell: usize| {
            let (one, other) = (cell / count, cell % count);
            if one == other { 0.0 } else { cells[one.min(other) * 12 + one.max(other)] }
        };
        let rows: Vec<f64> = (0..count * count).map(symmetric).collect();
        let bootstrap = Bootstrap { units: 3, replicates: 2, seed: 1 };
        let tree = newick(&names(count), &|_| Some(rows.clone()), bootstrap).unwrap();
        for name in names(count) {
            prop_assert_eq!(tree.matches(&format!("'{name}':")).count(), 1);
        }
        let [open, close] = ['(', ')'].map(|c| tree.matches(c).count());
        prop_assert_eq!((open, close), (count - 2, count - 2));
        prop_assert!(!tree.contains("NaN") && !tree.contains("inf") && !tree.contains(":-"));
    }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("m{number}")).collect()
}

const ONCE: Bootstrap = Bootstrap {
    units: 8,
    replicates: 0,
    seed: 1,
};

#[test]
fn additive_distances_give_back_their_tree() {
    // ((a:2,b:3):1,(c:4,d:1):1) as one inner edge of length 2.
    let names: Vec<String> = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
    let rows = [
        0.0, 5.0, 8.0, 5.0, //
        5.0, 0.0, 9.0, 6.0, //
        8.0, 9.0, 0.0, 5.0, //
        5.0, 6.0, 5.0, 0.0,
    ];
    let tree = newick(&names, &|_| Some(rows.to_vec()), ONCE).unwrap();
    assert_eq!(
        tree,
        "(('a':2.00000,'b':3.00000):2.00000,'d':1.00000,'c':4.00000);"
    );
}

#[test]
fn a_caterpillar_of_many_keeps_its_order() {
    // Leaves along a line: splits must cut it into a front and a back.
    let count = 130_usize;
    let rows: Vec<f64> = (0..count * count)
        .map(|cell| {
            let (one, other) = (cell / count, cell % count);
            let apart = one.abs_diff(other) as f64;
            if apart > 0.0 { apart + 2.0 } else { 0.0 }
        })
        .collect();
    let tree = join(count, rows).unwrap();
    let splits = tree.splits();
    assert_eq!(splits.len(), count - 3);
    for split in splits {
        let held = |leaf: usize| split[leaf / 64] >> (leaf % 64) & 1 == 1;
        let changes = (1..count).filter(|l| held(*l) != held(l - 1)).count();
        assert_eq!(changes, 1);
    }
}

#[test]
fn support_is_the_share_of_replicates_that_hold_a_split() {
    // Even prompts say ab|cd, odd ones ac|bd, three to one.
    let distances = |weights: &[u32]| {
        let mut rows = vec![0.0; 16];
        for (unit, weight) in weights.iter().enumerate() {
            let groups = if unit % 4 == 3 {
                [0, 1, 0, 1]
            } else {
                [0, 0, 1, 1]
            };
            for (cell, row) in rows.iter_mut().enumerate() {
                let (one, other) = (cell / 4, cell % 4);
                if one != other {
                    let far = if groups[one] == groups[other] {
                        1.0
                    } else {
                        2.0
                    };
                    *row += f64::from(*weight) * far;
                }
            }
        }
        Some(rows)
    };
    let support = |units: usize| {
        let bootstrap = Bootstrap {
            units,
            replicates: 400,
            seed: 3,
        };
        let tree = newick(&names(4), &distances, bootstrap).unwrap();
        let label = tree.split(')').nth(1).unwrap().split(':').next().unwrap();
        label.parse::<f64>().unwrap()
    };
    // Of 8 prompts, 6 against 2: P(B(8, 3/4) ≥ 4) = 0.973, as ties join the first two.
    assert!((94.0..=99.0).contains(&support(8)), "{}", support(8));
    assert!(support(64) > 99.0);
}

#[test]
fn degenerate_tables_make_no_tree_and_no_panic() {
    let bootstrap = Bootstrap {
        units: 0,
        replicates: 3,
        seed: 0,
    };
    assert_eq!(newick(&names(2), &|_| Some(vec![0.0; 4]), bootstrap), None);
    assert_eq!(newick(&names(3), &|_| None, bootstrap), None);
    let holes = |_: &[u32]| Some(vec![f64::NAN; 9]);
    assert_eq!(newick(&names(3), &holes, bootstrap), None);
    let all_equal = newick(&names(5), &|_| Some(vec![0.0; 25]), bootstrap).unwrap();
    assert!(!all_equal.contains("NaN") && !all_equal.contains("-0"));
    let hostile = vec!["it's".to_owned(), "(b,c);".to_owned(), String::new()];
    let tree = newick(&hostile, &|_| Some(vec![1.0; 9]), bootstrap).unwrap();
    assert!(tree.contains("'it''s'") && tree.contains("'(b,c);'"));
}
