//! `matrix.tsv`: feature × client. A cell is the name of a test of this binary, or says why there is none: `client lacks
//! it: SOURCE`, or `later: WHAT`.

use std::collections::BTreeSet;
use std::process::Command;

const MATRIX: &str = include_str!("matrix.tsv");

#[test]
fn every_cell_of_the_matrix_names_a_test_of_its_client_or_says_why_there_is_none() {
    let myself = std::env::current_exe().expect("the path of this binary");
    let listed = Command::new(myself).args(["--list", "--format", "terse"]).output().expect("the list of tests");
    let listed = String::from_utf8(listed.stdout).expect("names of tests");
    let tests: BTreeSet<&str> = listed.lines().filter_map(|line| line.strip_suffix(": test")).collect();
    assert!(tests.len() > 100, "{listed}");

    let mut lines = MATRIX.lines();
    let clients: Vec<&str> = lines.next().expect("a head line").split('\t').skip(2).collect();
    assert_eq!(clients.len(), 7, "{clients:?}");
    let mut wrong = Vec::new();
    let mut features = BTreeSet::new();
    for line in lines {
        let cells: Vec<&str> = line.split('\t').collect();
        let (area, feature) = (cells[0], cells.get(1).copied().unwrap_or_default());
        if area.is_empty() || feature.is_empty() || !features.insert(feature) {
            wrong.push(format!("a line without a feature of its own: {line:?}"));
        }
        if cells.len() != clients.len() + 2 {
            wrong.push(format!("{feature}: {} cells for {} clients", cells.len() - 2, clients.len()));
        }
        for (client, cell) in clients.iter().zip(cells.iter().skip(2)) {
            let says_why = ["client lacks it: ", "later: "]
                .iter()
                .any(|form| cell.strip_prefix(form).is_some_and(|reason| !reason.trim().is_empty()));
            let is_test = tests.contains(cell) && cell.contains(&format!("::{client}::"));
            if !says_why && !is_test {
                wrong.push(format!("{feature}, {client}: {cell:?} is no test of this client and no reason"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
