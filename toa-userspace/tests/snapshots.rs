//! Help texts, usage errors and filters, compared with the files in `cmd` and with the README.
//!
//! `TRYCMD=overwrite cargo test -p toa-tc --test snapshots` writes into these files what toa-tc prints.

use trycmd::TestCases;

/// Compares what the commands in these files print with what the files say.
fn compare(files: &str) {
    let cases = TestCases::new();
    // The width of the terminal, for which help texts are wrapped.
    cases.default_bin_name("toa-tc").env("COLUMNS", "80").case(files);
}

#[test]
fn help_texts_are_as_written_down() {
    compare("tests/cmd/help/*.trycmd");
}

#[test]
fn usage_errors_are_one_line_that_names_the_help() {
    compare("tests/cmd/errors/*.trycmd");
}

#[test]
fn filters_are_as_written_down() {
    compare("tests/cmd/filters/*.trycmd");
}

#[test]
fn examples_in_the_readme_print_what_it_shows() {
    compare("../README.md");
}
