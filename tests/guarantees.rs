//! The page of guarantees names tests, models and mutants: all of them exist. The table of the mutation
//! gate names every mutant, and counts every ordering.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file, or of all Rust files of a folder and those in it.
fn text(path: &Path) -> String {
    if path.is_dir() {
        let entries = fs::read_dir(path).expect("a folder can be read");
        entries.map(|entry| text(&entry.expect("so can its entries").path())).collect()
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        fs::read_to_string(path).expect("a source is text")
    } else {
        String::new()
    }
}

/// What stands between backticks in a text.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// What stands between backticks in the page.
fn named() -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/guarantees.md")).expect("the page is there");
    quoted(&page).map(str::to_owned).collect()
}

/// The table of the mutation gate.
fn table() -> String {
    let table = root().join("loom-tests/mutants/README.md");
    fs::read_to_string(table).expect("the table is there")
}

/// The mutants of a folder.
fn mutants(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(root().join(folder)).expect("a folder can be read");
    let names = entries.map(|entry| entry.expect("so can its entries").file_name());
    let names = names.map(|name| name.into_string().expect("names are text"));
    names.filter_map(|name| name.strip_suffix(".patch").map(str::to_owned)).collect()
}

/// The Rust files below a folder, but for the stand-ins in `sync`.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder can be read");
    let paths = entries.map(|entry| entry.expect("so can its entries").path());
    let (folders, files): (Vec<_>, Vec<_>) = paths.partition(|path| path.is_dir());
    let below = folders.iter().filter(|folder| !folder.ends_with("sync"));
    let files = files.into_iter().filter(|file| file.extension().is_some_and(|e| e == "rs"));
    below.flat_map(|folder| sources(folder)).chain(files).collect()
}

/// How many orderings there are in the code of a file.
fn orderings(file: &Path) -> usize {
    let text = fs::read_to_string(file).expect("a source is text");
    let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let words = code.flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'));
    words.filter(|word| ["Acquire", "Release", "AcqRel", "SeqCst"].contains(word)).count()
}

/// Whether it is a model's name, `m05_…`, or a mutant's, `m05-…`.
fn is_numbered(name: &str, mark: char) -> bool {
    let mut chars = name.chars();
    chars.next() == Some('m')
        && chars.by_ref().take(2).all(|c| c.is_ascii_digit())
        && chars.next() == Some(mark)
        && name.is_ascii()
}

#[test]
fn every_test_that_the_page_names_exists() {
    let mut count = 0;
    for name in named() {
        let Some((file, test)) = name.split_once("::") else { continue };
        if name.contains(' ') || file == "Duration" || file == "file" {
            continue;
        }
        let tests = root().join("tests");
        let all = text(&tests.join(format!("{file}.rs"))) + &text(&tests.join(file));
        assert!(all.contains(&format!("#[test]\nfn {test}()")), "{name} is no test");
        count += 1;
    }
    assert!(count > 60, "{count} tests are named");
}

#[test]
fn every_model_and_every_mutant_that_the_page_names_exists() {
    let models = root().join("loom-tests");
    let (source, mut count) = (text(&models.join("src")), [0, 0]);
    let ours = ["histories-", "freezing-", "bad-days-", "guards-"];
    for name in named() {
        let patch = format!("{name}.patch");
        if is_numbered(&name, '_') {
            assert!(source.contains(&format!("fn {name}()")), "{name} is no model");
            count[0] += 1;
        } else if is_numbered(&name, '-') {
            assert!(models.join("mutants").join(patch).is_file(), "{name} is no mutant");
            count[1] += 1;
        } else if ours.iter().any(|ours| name.starts_with(ours)) {
            assert!(root().join("tests/mutants").join(patch).is_file(), "{name} is no mutant");
            count[1] += 1;
        }
    }
    assert!(count.iter().all(|count| *count > 15), "{count:?} models and mutants are named");
}

#[test]
fn the_table_of_the_gate_names_every_mutant_and_none_that_is_not_there() {
    let table = table();
    let named: BTreeSet<_> = quoted(&table).collect();
    let (models, tests) = (mutants("loom-tests/mutants"), mutants("tests/mutants"));
    let guards = tests.iter().filter(|name| name.starts_with("guards-"));
    for name in models.iter().chain(guards) {
        assert!(named.contains(name.as_str()), "{name} is not in the table");
    }
    for name in named {
        let is_mutant = is_numbered(name, '-') || name.starts_with("guards-");
        let is_there = models.contains(name) || tests.contains(name);
        assert!(!is_mutant || is_there, "{name} is no mutant");
    }
}

#[test]
fn the_table_of_the_gate_counts_every_ordering() {
    let table = table();
    for file in sources(&root().join("src")) {
        let count = orderings(&file);
        let name = file.strip_prefix(root()).expect("it is below").display().to_string();
        let heading = format!("## `{name}`: {count} orderings\n");
        let is_counted =
            table.contains(&heading) || count == 0 && !table.contains(&format!("## `{name}`"));
        assert!(is_counted, "{name} has {count} orderings: what breaks them?");
    }
}
