//! One page with everything: what was measured, the charts as SVG, links to them as PNG, the tables.
//!
//! Receives text and the drawn files, hands on one HTML file that needs no other to be read.

use super::record::{Experiment, Record, table};
use crate::failure::Failure;
use std::fs;
use std::path::{Path, PathBuf};

const HEAD: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>naio demo</title>\n\
    <style>body{font-family:sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;line-height:1.4}\
    svg{max-width:100%;height:auto}pre{overflow-x:auto;background:#f4f4f4;padding:1rem}</style>\n\
    </head><body>\n<h1>naio on cards in software</h1>\n";

/// Writes `FOLDER/index.html` and says where it is.
pub(crate) fn write(folder: &Path, about: &[String], records: &[Record]) -> Result<PathBuf, Failure> {
    let mut page = HEAD.to_owned();
    for line in about {
        page += &format!("<p>{}</p>\n", escaped(line));
    }
    for experiment in Experiment::ALL {
        let name = experiment.name();
        let path = folder.join(name).with_extension("svg");
        let svg = fs::read_to_string(&path).map_err(|source| Failure::Write { path, source })?;
        page += &format!("<h2>{}</h2>\n{svg}\n", experiment.title());
        page += &format!(
            "<p>The picture as <a href=\"{name}.png\">PNG</a> and <a href=\"{name}.svg\">SVG</a>.</p>\n"
        );
        page += &format!("<pre>{}</pre>\n", escaped(&table(experiment, records)));
    }
    page += "</body></html>\n";
    let path = folder.join("index.html");
    fs::write(&path, page).map_err(|source| Failure::Write { path: path.clone(), source })?;
    Ok(path)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
