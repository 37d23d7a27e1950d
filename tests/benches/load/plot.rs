//! The ratios as a plot.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::{
    backend::SVGBackend,
    chart::ChartBuilder,
    drawing::IntoDrawingArea as _,
    element::{Circle, PathElement, Text},
    style::{Color as _, IntoFont as _, RGBColor, WHITE},
};

use crate::{row::Program, summary::Summary};

/// Height of a row, and of the axis, in pixels.
const ROW: usize = 34;
const AXIS: usize = 50;
const WIDTH: u32 = 760;
/// Right end of the axis of ratios.
const MOST: f64 = 1.1;

const OURS: RGBColor = RGBColor(0x1f, 0x6f, 0xb4);
const OTHERS: RGBColor = RGBColor(0x77, 0x77, 0x77);

/// Draws each row's median and interval to a file.
pub(crate) fn draw(summaries: &[Summary], path: &Path) -> Result<()> {
    let height = u32::try_from(summaries.len() * ROW + AXIS)?;
    let area = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    let drawn = || -> Result<(), Box<dyn std::error::Error + '_>> {
        area.fill(&WHITE)?;
        let rows = f64::from(u32::try_from(summaries.len())?);
        let mut chart = ChartBuilder::on(&area)
            .margin(10)
            .margin_left(210)
            .x_label_area_size(36)
            .build_cartesian_2d(0.0..MOST, rows..0.0)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .x_labels(12)
            .x_label_formatter(&|ratio| format!("{ratio:.1}"))
            .x_desc("requests per second, relative to nginx alone")
            .draw()?;
        for (row, summary) in (0_u32..).zip(summaries) {
            let y = f64::from(row) + 0.5;
            let colour = if matches!(summary.row.program, Program::ToaTc(_)) { OURS } else { OTHERS };
            let compared = summary.compared;
            let [low, ratio, high] =
                [compared.low, compared.ratio, compared.high].map(|ratio| ratio.clamp(0.0, MOST));
            chart.draw_series([PathElement::new([(low, y), (high, y)], colour.stroke_width(3))])?;
            chart.draw_series([Circle::new((ratio, y), 5, colour.filled())])?;
            let label = chart.backend_coord(&(0.0, y));
            area.draw(&Text::new(
                summary.row.name,
                (label.0 - 200, label.1 - 7),
                ("sans-serif", 14).into_font().color(&colour),
            ))?;
        }
        area.present()?;
        Ok(())
    };
    drawn().map_err(|error| anyhow!("cannot draw: {error}"))
}
