//! Draws one experiment: speed per run above, CPU of the program per run below, a line for each arm.
//!
//! Receives records, writes the same picture as SVG and as PNG. The text of the PNG is set in a font that is
//! part of the program: it needs none of the system's.

use super::record::{Arm, Experiment, Record};
use super::transfer::Style;
use crate::failure::Failure;
use plotters::coord::Shift;
use plotters::prelude::*;
use std::path::Path;

/// Pixels.
const SIZE: (u32, u32) = (960, 720);
/// The name under which the font is known to the drawing library.
const FONT: &str = "sans-serif";
/// Room above the highest point, as a factor: the legend stands there.
const HEADROOM: f64 = 1.5;
/// Blue and orange that people who see no red or green can tell apart (Okabe and Ito).
const ASYNCHRONOUS: RGBColor = RGBColor(0x00, 0x72, 0xb2);
const SYNCHRONOUS: RGBColor = RGBColor(0xd5, 0x5e, 0x00);

/// Draws `experiment` into `FOLDER/recv.svg` and `.png`, or `send`.
pub(crate) fn draw(experiment: Experiment, records: &[Record], folder: &Path) -> Result<(), Failure> {
    // Registered once or twice is the same; the bytes are a font, as every run of the tests shows.
    let _ = plotters::style::register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT);
    let svg = folder.join(experiment.name()).with_extension("svg");
    let drawn = picture(&SVGBackend::new(&svg, SIZE).into_drawing_area(), experiment, records);
    drawn.map_err(|why| Failure::Draw { path: svg, why })?;
    let png = folder.join(experiment.name()).with_extension("png");
    let drawn = picture(&BitMapBackend::new(&png, SIZE).into_drawing_area(), experiment, records);
    drawn.map_err(|why| Failure::Draw { path: png, why })
}

fn picture<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    experiment: Experiment,
    records: &[Record],
) -> Result<(), String> {
    area.fill(&WHITE).map_err(|error| error.to_string())?;
    let (above, below) = area.split_vertically(SIZE.1 / 2);
    // The wire stands in the title: a picture is often shown without its page.
    let wire = records.first().map_or("", |record| record.topology);
    let title = format!("{}, {wire}", experiment.title());
    panel(&above, &format!("{title}: speed"), "MB/s", experiment, records, |r| r.mb_per_s)?;
    let caption = format!("{title}: CPU of the program's thread");
    panel(&below, &caption, "CPU seconds", experiment, records, |r| r.program_cpu_s)?;
    area.present().map_err(|error| error.to_string())
}

fn panel<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    caption: &str,
    unit: &str,
    experiment: Experiment,
    records: &[Record],
    figure: fn(&Record) -> f64,
) -> Result<(), String> {
    let records: Vec<&Record> = records.iter().filter(|r| r.experiment == experiment.name()).collect();
    let runs = records.iter().map(|r| r.run).max().unwrap_or(1);
    let highest = records.iter().map(|r| figure(r)).fold(0.0, f64::max).max(1e-3);
    let told = |error: DrawingAreaErrorKind<B::ErrorType>| error.to_string();
    let mut chart = ChartBuilder::on(area)
        .caption(caption, (FONT, 22))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(0.5..f64::from(runs) + 0.5, 0.0..highest * HEADROOM)
        .map_err(told)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(runs.min(20) as usize + 2)
        .x_label_formatter(&|run| if run.fract() == 0.0 { format!("{run:.0}") } else { String::new() })
        .y_label_formatter(&|figure| short(*figure))
        .x_desc("run")
        .y_desc(unit)
        .label_style((FONT, 15))
        .light_line_style(TRANSPARENT)
        .draw()
        .map_err(told)?;
    for arm in Arm::of(experiment) {
        let color = if arm.style == Style::Asynchronous { ASYNCHRONOUS } else { SYNCHRONOUS };
        let mine = records.iter().filter(|r| r.arm == arm.name());
        let points: Vec<(f64, f64)> = mine.map(|r| (f64::from(r.run), figure(r))).collect();
        let line = LineSeries::new(points, color.stroke_width(2)).point_size(4);
        chart
            .draw_series(line)
            .map_err(told)?
            .label(arm.name())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .label_font((FONT, 15))
        .draw()
        .map_err(told)
}

/// A figure without zeros at its end.
fn short(figure: f64) -> String {
    let text = format!("{figure:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn labels_keep_their_whole_zeros_only() {
        assert_eq!([0.0, 100.0, 0.25, 12.5].map(short), ["0", "100", "0.25", "12.5"]);
    }
}
