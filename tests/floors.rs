//! The floors of the source: who may import whom, and what nobody above the ground may name.
//!
//! [`FLOORS`] is the single source of the picture: a row is a floor or a part of one, the ground
//! first. A file imports from rows above its own and, in its own row, from files to the left of it. A
//! folder is one place here; what its files ask of each other is its own affair.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const MOST_LINES: usize = 430;

/// Floor, files from left to right.
const FLOORS: &[(u8, &[&str])] = &[
    (0, &["sync"]),
    (0, &["time", "nest", "panics", "apart"]),
    (1, &["policy"]),
    (1, &["word", "state"]),
    (2, &["fifo", "queue", "rest"]),
    (2, &["waiters", "flight"]),
    (3, &["error", "snapshot"]),
    (3, &["table"]),
    (3, &["hot"]),
    (4, &["stats"]),
    (4, &["threads", "refresh"]),
    (4, &["local"]),
    (4, &["core", "duty", "lookup"]),
    (5, &["served"]),
    (6, &["load", "answer", "own"]),
    (6, &["cache", "iter", "weak"]),
    (6, &["blocking", "future"]),
    (6, &["reader"]),
    (7, &["builder", "lib"]),
];

/// Of what only the ground may name.
const GROUND: &[&str] = &["sync", "time"];
const HIDDEN: &[&str] = &[
    "std::sync::atomic",
    "core::sync::atomic",
    "Mutex",
    "RwLock",
    "Condvar",
    "OnceLock",
    "LazyLock",
    "OnceState",
    "Barrier",
    "mpsc",
    "std::thread",
    "Instant",
    "SystemTime",
    "arc_swap",
    "ArcSwap",
    "crossbeam_epoch",
    "crossbeam_utils",
    "rustix",
];
/// The second never is in a real build.
const UNSAFE: &[&str] = &["word.rs", "sync/model/"];

struct File {
    /// Below `src/`, with slashes.
    name: String,
    /// The folder or the file's stem: a place on a floor.
    place: String,
    text: String,
    /// Without comments, documentation and literals.
    code: String,
}

fn files() -> Vec<File> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("the sources are there") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                found.push(path);
            }
        }
    }
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&src, &mut found);
    found.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a source file is text");
        let below = path.strip_prefix(&src).expect("it was found there");
        let parts: Vec<_> = below.iter().map(|part| part.to_string_lossy()).collect();
        let place = parts[0].trim_end_matches(".rs").to_owned();
        File { name: parts.join("/"), place, code: code_of(&text), text }
    };
    found.into_iter().map(read).collect()
}

/// The text with comments and the insides of literals blanked out; lines stay where they are.
fn code_of(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut code = String::with_capacity(text.len());
    let mut i = 0;
    while i < chars.len() {
        let end = match (at(i), at(i + 1)) {
            ('/', '/') => (i..chars.len()).find(|&j| at(j) == '\n').unwrap_or(chars.len()),
            ('/', '*') => {
                (i + 2..chars.len()).find(|&j| at(j) == '*' && at(j + 1) == '/').unwrap_or(i) + 2
            }
            ('"', _) => {
                let mut j = i + 1;
                while j < chars.len() && at(j) != '"' {
                    j += if at(j) == '\\' { 2 } else { 1 };
                }
                j + 1
            }
            ('\'', '\\') => (i + 3..chars.len()).find(|&j| at(j) == '\'').unwrap_or(i) + 1,
            ('\'', _) if at(i + 2) == '\'' => i + 3,
            _ => {
                code.push(at(i));
                i += 1;
                continue;
            }
        };
        code.extend(chars[i..end.min(chars.len())].iter().filter(|c| **c == '\n'));
        code.push(' ');
        i = end;
    }
    code
}

/// The places that code names by `crate::`: `crate::a::…`, `crate::{a::…, b}`.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let word = |text: &str| -> String {
            text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
        };
        let Some(group) = rest.strip_prefix('{') else {
            found.insert(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut first = true;
        for (i, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => first = true,
                _ => {
                    if first && !c.is_whitespace() {
                        found.insert(word(&group[i..]));
                        first = false;
                    }
                }
            }
        }
    }
    found
}

/// Whether the code names this path or word, whole.
fn has(code: &str, name: &str) -> bool {
    let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + name.len()..].chars().next();
        // A word also as the beginning of another: `MutexGuard`; a path only whole.
        let whole = !name.contains("::") || !inside(after);
        whole && !inside(before)
    })
}

fn rank(place: &str) -> Option<(usize, usize)> {
    FLOORS.iter().enumerate().find_map(|(row, (_, files))| {
        files.iter().position(|file| *file == place).map(|column| (row, column))
    })
}

/// Who imports whom, by place.
fn graph(files: &[File]) -> BTreeMap<&str, BTreeSet<String>> {
    let mut graph: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for file in files {
        let known = imports(&file.code).into_iter().filter(|place| *place != file.place);
        // Re-exports at the root have no place of their own: `lib` is where they are.
        let known =
            known.map(|place| if rank(&place).is_some() { place } else { "lib".to_owned() });
        graph.entry(&file.place).or_default().extend(known);
    }
    graph
}

#[test]
fn every_file_stands_on_a_floor_and_every_floor_has_its_files() {
    let places: BTreeSet<_> = files().into_iter().map(|file| file.place).collect();
    let planned: Vec<_> = FLOORS.iter().flat_map(|(_, files)| files.iter().copied()).collect();
    let listed: BTreeSet<_> = planned.iter().map(|place| (*place).to_owned()).collect();
    assert_eq!(planned.len(), listed.len(), "a place stands on one floor");
    assert_eq!(places, listed);
    assert!(FLOORS.is_sorted_by_key(|(floor, _)| floor));
}

#[test]
fn files_import_only_from_below_or_from_their_left() {
    let files = files();
    let mut wrong = Vec::new();
    for (place, imported) in graph(&files) {
        for other in imported {
            if rank(&other) >= rank(place) {
                wrong.push(format!("{place} imports {other}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn imports_have_no_cycles() {
    let files = files();
    let graph = graph(&files);
    let reach = |from: &str| {
        let mut reached = BTreeSet::new();
        let mut open: Vec<String> = graph.get(from).into_iter().flatten().cloned().collect();
        while let Some(place) = open.pop() {
            if reached.insert(place.clone()) {
                open.extend(graph.get(place.as_str()).into_iter().flatten().cloned());
            }
        }
        reached
    };
    let reached: BTreeMap<_, _> = graph.keys().map(|place| (*place, reach(place))).collect();
    let cycles: BTreeSet<_> = reached
        .iter()
        .filter(|(place, reached)| reached.contains(**place))
        .map(|(place, all)| {
            let back = all.iter().filter(|other| {
                reached.get(other.as_str()).is_some_and(|reached| reached.contains(*place))
            });
            back.cloned().collect::<Vec<_>>()
        })
        .collect();
    assert!(cycles.is_empty(), "these import each other: {cycles:?}");
}

#[test]
fn nothing_above_the_ground_names_what_the_model_checker_swaps() {
    let mut wrong = Vec::new();
    for file in files().iter().filter(|file| !GROUND.contains(&file.place.as_str())) {
        for name in HIDDEN {
            if has(&file.code, name) {
                wrong.push(format!("{} names {name}", file.name));
            }
        }
        // Also by `use std::{sync::atomic, thread}` or `use std::sync::{atomic, Mutex}`.
        for (at, _) in file.code.match_indices("use std::") {
            let import: String = file.code[at..].chars().take_while(|c| *c != ';').collect();
            let sync_or_thread = ["atomic", "thread", "Once"].iter().any(|name| has(&import, name));
            if sync_or_thread && !import.contains("std::cell") {
                wrong.push(format!("{}: {import}", file.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn unsafe_code_has_its_two_places() {
    let with: Vec<_> = files()
        .into_iter()
        .filter(|file| {
            has(&file.code.replace("unsafe_code", "").replace("unsafe_op", ""), "unsafe")
        })
        .map(|file| file.name)
        .collect();
    let elsewhere: Vec<_> =
        with.iter().filter(|name| !UNSAFE.iter().any(|place| name.starts_with(place))).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
    assert!(with.iter().any(|name| name == "word.rs"), "the search finds what is there");
}

/// The page that says in which order to read them.
#[test]
fn the_page_of_the_design_names_every_place_in_this_order() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/design.md");
    let page = fs::read_to_string(page).expect("the page is there");
    let (_, order) = page.split_once("## Reading order").expect("it has a reading order");
    let mut floors = order.lines().filter(|line| line.starts_with("| ")).skip(1);
    for floor in 0..=7 {
        let row = floors.next().expect("a row for each floor");
        assert!(row.starts_with(&format!("| {floor} |")), "{row}");
        let named: Vec<_> = row.split('`').skip(1).step_by(2).collect();
        let places = FLOORS.iter().filter(|(at, _)| *at == floor).flat_map(|(_, places)| *places);
        let known = |name: &&str| FLOORS.iter().any(|(_, places)| places.contains(name));
        let named: Vec<_> = named.into_iter().filter(known).collect();
        assert_eq!(named, places.copied().collect::<Vec<_>>(), "floor {floor}");
    }
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut wrong = Vec::new();
    for file in files() {
        let lines = file.text.lines().count();
        if lines > MOST_LINES {
            wrong.push(format!("{} has {lines} lines", file.name));
        }
        if !file.text.starts_with("//!") {
            wrong.push(format!("{} does not say what it is", file.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_reader_of_sources_is_not_fooled() {
    let code = code_of(
        "// crate::no\n/// crate::no\nuse crate::{a::X, b};\nlet s = \"crate::no \\\" Mutex\"; let c = '\"'; let l: &'a str = crate::c::f();",
    );
    let names: Vec<_> = imports(&code).into_iter().collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert!(!has(&code, "Mutex") && has("x: Mutex<u8>", "Mutex") && !has("AMutex", "Mutex"));
    assert!(has("std::thread::spawn", "std::thread") && !has("std::threads", "std::thread"));
}
