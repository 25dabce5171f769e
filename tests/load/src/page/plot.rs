//! One plot, as SVG.

use std::ops::Range;

use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use crate::error::LoadError;

const SIZE: (u32, u32) = (960, 300);
/// As far apart as can be for those who see colours otherwise: Okabe and Ito, "Color Universal Design" (2008).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(213, 94, 0),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
];
/// On a logarithmic scale nothing lies below this.
const LEAST: f64 = 0.1;

/// Lines over one axis.
pub struct Plot {
    /// Above it.
    pub title: String,
    /// How it goes upwards.
    pub scale: Scale,
    /// What stands under a place across.
    pub across: Box<dyn Fn(f64) -> String>,
    /// The lines.
    pub lines: Vec<Line>,
}

/// One line.
pub struct Line {
    /// In the legend.
    pub name: String,
    /// Across, and up.
    pub points: Vec<(f64, f64)>,
}

/// How a plot goes upwards. Nothing is drawn by powers of ten where there is nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// From 0 on.
    Linear,
    /// By powers of ten.
    Log,
}

impl Scale {
    /// How many times as high as the highest point a plot is, so that the legend hides nothing.
    fn headroom(self) -> f64 {
        match self {
            Self::Linear => 1.3,
            Self::Log => 10.0,
        }
    }

    fn shows(self, value: f64) -> bool {
        self == Self::Linear || value >= LEAST
    }
}

impl Plot {
    /// Draws it.
    ///
    /// # Errors
    /// [`LoadError::Page`].
    pub fn draw(&self) -> Result<String, LoadError> {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let right = points().map(|p| p.0).fold(1.0, f64::max);
        let top = points().map(|p| p.1).fold(1.0, f64::max) * self.scale.headroom();
        let drawn = match self.scale {
            Scale::Linear => self.lines_on(0.0..right, 0.0..top),
            Scale::Log => self.lines_on(0.0..right, (LEAST..top).log_scale()),
        };
        drawn.map_err(|error| LoadError::Page(error.to_string()))
    }

    fn lines_on<Y>(&self, across: Range<f64>, up: Y) -> Result<String, Box<dyn std::error::Error>>
    where
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: ValueFormatter<f64>,
    {
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            area.fill(&WHITE)?;
            let mut chart = ChartBuilder::on(&area)
                .caption(&self.title, ("sans-serif", 15))
                .margin(8)
                .x_label_area_size(28)
                .y_label_area_size(56)
                .build_cartesian_2d(across, up)?;
            chart
                .configure_mesh()
                .light_line_style(WHITE)
                .bold_line_style(BLACK.mix(0.1))
                .x_labels(8)
                .y_labels(6)
                .x_label_formatter(&|x| (self.across)(*x))
                .y_label_formatter(&|y| number(*y))
                .draw()?;
            for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
                let points = line.points.iter().copied();
                let points = points.filter(|(_, y)| self.scale.shows(*y));
                chart
                    .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
                    .label(&line.name)
                    .legend(|(x, y)| {
                        PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2))
                    });
            }
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperLeft)
                .background_style(WHITE.mix(0.85))
                .border_style(BLACK.mix(0.2))
                .draw()?;
            area.present()?;
        }
        Ok(svg)
    }
}

/// As short as it can be told.
fn number(value: f64) -> String {
    let rounded = value.round();
    if (value - rounded).abs() < 1e-9 || value >= 100.0 {
        format!("{rounded}")
    } else {
        format!("{value:.1}")
    }
}
