//! Hands the versions in Cargo.lock, and the compiler's, to the report.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=Cargo.lock");
    let lock = fs::read_to_string("Cargo.lock").expect("Cargo.lock stands beside the manifest");
    let mut versions = String::from("&[\n");
    let mut name = "";
    for line in lock.lines() {
        if let Some(value) = quoted(line, "name = ") {
            name = value;
        } else if let Some(version) = quoted(line, "version = ") {
            versions += &format!("    ({name:?}, {version:?}),\n");
        }
    }
    versions.push(']');
    let out = env::var_os("OUT_DIR").expect("cargo sets it");
    fs::write(Path::new(&out).join("versions.rs"), versions).expect("OUT_DIR can be written");

    let rustc = env::var_os("RUSTC").expect("cargo sets it");
    let said = Command::new(rustc).arg("--version").output().expect("the compiler is there");
    println!("cargo:rustc-env=COMPILER={}", String::from_utf8_lossy(&said.stdout).trim());
}

fn quoted<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.strip_prefix(key)?.strip_prefix('"')?.strip_suffix('"')
}
