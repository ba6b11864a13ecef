//! Drawings that `relscale fit` writes: their formats, sizes, names and colours.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use relscale::fit::Analysis;
use relscale::output;
use relscale::report::plot::{Palette, Size, Style};

use super::labels;
use crate::commands::{CommandError, at};
use crate::output::{detail, warning};
use crate::suggest::did_you_mean;

/// Drawings of the laws.
#[derive(Debug, Args)]
#[command(next_help_heading = "Figures")]
pub(super) struct FigureArguments {
    /// Draw the laws into this folder
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
    /// Formats of the drawings, separated by commas [default: svg; svg,pdf with --preset paper]
    #[arg(
        long,
        value_name = "FORMATS",
        value_enum,
        value_delimiter = ',',
        requires = "plots"
    )]
    plot_format: Vec<Format>,
    /// One figure per corpus as a paper has it: errors left, ratios right, exponents below, 6.75 inches wide,
    /// without a title
    #[arg(long, value_name = "NAME", value_enum, requires = "plots")]
    preset: Option<Preset>,
    /// Size of each drawing in px, mm or in, such as 1200x800px, 88x60mm or 6.75in (height by the content)
    #[arg(long, value_name = "WxH", requires = "plots")]
    size: Option<Size>,
    /// Leave out heading and notes, which a caption replaces
    #[arg(long, requires = "plots")]
    no_title: bool,
    /// Names, order and colours in the drawings (CSV with the columns name,label,order,colour, or TOML)
    #[arg(long, value_name = "FILE", requires = "plots")]
    labels: Option<PathBuf>,
    /// Colours: okabe-ito for every eye, viridis for greyscale too
    #[arg(long, value_name = "NAME", default_value_t, requires = "plots")]
    palette: Palette,
}

/// A format of drawings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Format {
    /// Vector graphics for browsers and editors
    Svg,
    /// Pixels: as many as --size says, 300 per inch for mm and in
    Png,
    /// One page with text as text
    Pdf,
}

/// A set of choices for one purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Preset {
    /// A figure for a paper
    Paper,
}

/// The width of the text of a paper in two columns, such as those of ICML and ACL, in inches.
const TEXT_WIDTH: &str = "6.75in";

impl FigureArguments {
    /// The file of labels.
    pub(super) fn labels(&self) -> Option<&Path> {
        self.labels.as_deref()
    }

    /// Draws the analysis, if that was asked for.
    pub(super) fn write(&self, analysis: &Analysis) -> Result<(), CommandError> {
        let Some(folder) = &self.plots else {
            return Ok(());
        };
        let style = self.style(analysis)?;
        let formats = self.formats();
        let drawings = match self.preset {
            Some(Preset::Paper) => style.figures(analysis)?,
            None => style.all(analysis)?,
        };
        if drawings.is_empty() {
            warning("nothing to draw: the analysis holds no law with readings");
        }
        fs::create_dir_all(folder).map_err(at(folder))?;
        let mut converter = Conversion::default();
        for (name, svg) in &drawings {
            for format in &formats {
                let path = folder.join(name).with_extension(format.extension());
                let bytes = converter.bytes(svg, *format)?;
                output::write(&path, bytes).map_err(at(&path))?;
            }
        }
        converter.warn();
        detail(&format!(
            "{} drawings in {}",
            drawings.len(),
            folder.display()
        ));
        Ok(())
    }

    fn formats(&self) -> BTreeSet<Format> {
        match (self.plot_format.as_slice(), self.preset) {
            ([], Some(Preset::Paper)) => [Format::Svg, Format::Pdf].into(),
            ([], None) => [Format::Svg].into(),
            (asked, _) => asked.iter().copied().collect(),
        }
    }

    fn style(&self, analysis: &Analysis) -> Result<Style, CommandError> {
        let mut style = Style::default();
        let paper = self.preset == Some(Preset::Paper);
        style.title = !self.no_title && !paper;
        style.palette = self.palette;
        style.size = match (self.size, paper) {
            (None, true) => Some(TEXT_WIDTH.parse()?),
            (size, _) => size,
        };
        if let Some(path) = &self.labels {
            style.labels = labels::read(path)?;
            let known = names(analysis);
            for name in style.labels.keys().filter(|n| !known.contains(n.as_str())) {
                let meant = did_you_mean(name, known.iter().copied());
                let file = path.display();
                warning(&format!("{file}: no drawing shows {name:?}{meant}"));
            }
        }
        Ok(style)
    }
}

/// The names that drawings show.
fn names(analysis: &Analysis) -> BTreeSet<&str> {
    let contrasts = analysis.contrasts.iter();
    let mut names: BTreeSet<&str> = contrasts.clone().map(|c| c.name.as_str()).collect();
    for law in analysis.laws.iter().chain(contrasts.map(|c| &c.law)) {
        names.extend([&*law.corpus, &*law.treatment, &*law.baseline]);
    }
    for law in &analysis.counts {
        names.extend([&*law.corpus, &*law.treatment, &*law.baseline]);
    }
    for rate in &analysis.rates {
        names.extend([&*rate.corpus, &*rate.distribution]);
    }
    names
}

impl Format {
    fn extension(self) -> &'static str {
        match self {
            Self::Svg => "svg",
            Self::Png => "png",
            Self::Pdf => "pdf",
        }
    }
}

/// Drawings in the formats asked for.
#[cfg(feature = "figures")]
#[derive(Default)]
struct Conversion {
    converter: crate::figures::Converter,
    missing: BTreeSet<char>,
}

#[cfg(feature = "figures")]
impl Conversion {
    fn bytes(&mut self, svg: &str, format: Format) -> Result<Vec<u8>, CommandError> {
        if format == Format::Svg {
            return Ok(svg.as_bytes().to_vec());
        }
        self.missing.extend(self.converter.prepare(svg));
        Ok(match format {
            Format::Png => self.converter.png(svg)?,
            _ => self.converter.pdf(svg)?,
        })
    }

    /// Names the characters that were drawn as boxes.
    fn warn(&self) {
        if self.missing.is_empty() {
            return;
        }
        // A line of them shows which font is missing.
        let shown: String = self.missing.iter().take(20).collect();
        warning(&format!(
            "no font of this machine has {shown:?} and they are drawn as boxes: install one that does \
             (such as Noto Sans CJK), or give other names by --labels"
        ));
    }
}

/// Drawings as they are.
#[cfg(not(feature = "figures"))]
#[derive(Default)]
struct Conversion {}

#[cfg(not(feature = "figures"))]
impl Conversion {
    fn bytes(&mut self, svg: &str, format: Format) -> Result<Vec<u8>, CommandError> {
        match format {
            Format::Svg => Ok(svg.as_bytes().to_vec()),
            _ => Err(CommandError::Usage(format!(
                "this build of relscale writes no {}: build it with the feature `figures`, or give \
                 --plot-format svg",
                format.extension().to_uppercase()
            ))),
        }
    }

    fn warn(&self) {}
}
