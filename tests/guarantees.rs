//! The page of guarantees names tests, models and mutants: all of them exist.

use std::fs;
use std::path::Path;

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

/// What stands between backticks in the page.
fn named() -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/guarantees.md")).expect("the page is there");
    page.split('`').skip(1).step_by(2).map(str::to_owned).collect()
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
    if !models.is_dir() {
        return; // A package without them.
    }
    let (source, mut count) = (text(&models.join("src")), [0, 0]);
    let ours = ["histories-", "freezing-", "bad-days-"];
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
