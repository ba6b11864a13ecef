//! Drawings as PNG and PDF.
//!
//! Text is set in DejaVu Sans, which is part of the program: a figure has the same letters on every
//! machine, and needs no font installed. Alphabets that it lacks, such as Chinese, come from the fonts
//! of the machine.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

/// The fonts of the program, cut to their alphabets by `fonts/subset.py`.
const FONTS: [&[u8]; 2] = [
    include_bytes!("../fonts/DejaVuSans.subset.ttf"),
    include_bytes!("../fonts/DejaVuSans-Bold.subset.ttf"),
];

/// Name of their family.
const FAMILY: &str = "DejaVu Sans";

/// Pixels per inch of CSS, in which SVG counts.
const CSS: f32 = 96.0;

/// Pixels per inch of a PNG whose size is given in inches or millimetres: what printers ask for.
const PRINT: f32 = 300.0;

/// More pixels than a poster has: larger pictures would take gigabytes.
const MOST_PIXELS: f32 = 4e8;

/// The reason why a drawing was not converted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FigureError {
    /// The drawing is no SVG that can be read.
    Svg {
        /// The parser's message.
        reason: String,
    },
    /// The picture is too large.
    Size {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// The PNG was not encoded.
    Png {
        /// The encoder's message.
        reason: String,
    },
    /// The PDF was not made.
    Pdf {
        /// The converter's message.
        reason: String,
    },
}

impl fmt::Display for FigureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Svg { reason } => write!(f, "the drawing cannot be read as SVG: {reason}"),
            Self::Size { width, height } => write!(
                f,
                "a picture of {width} x {height} pixels is too large: give a smaller --size, or \
                 --plot-format svg,pdf"
            ),
            Self::Png { reason } => write!(f, "the drawing cannot be written as PNG: {reason}"),
            Self::Pdf { reason } => write!(f, "the drawing cannot be written as PDF: {reason}"),
        }
    }
}

impl Error for FigureError {}

/// Turns drawings into PNG and PDF.
#[derive(Debug)]
pub struct Converter {
    fonts: Arc<fontdb::Database>,
    /// If true, the fonts of the machine are among them.
    all: bool,
}

impl Default for Converter {
    fn default() -> Self {
        Self::new()
    }
}

impl Converter {
    /// A converter with the fonts of the program.
    #[must_use]
    pub fn new() -> Self {
        let mut fonts = fontdb::Database::new();
        for font in FONTS {
            fonts.load_font_source(fontdb::Source::Binary(Arc::new(font)));
        }
        fonts.set_sans_serif_family(FAMILY);
        Self {
            fonts: Arc::new(fonts),
            all: false,
        }
    }

    /// Reads the fonts of the machine if `svg` has characters that those of the program lack, and
    /// returns the characters that none has. They are drawn as boxes.
    pub fn prepare(&mut self, svg: &str) -> BTreeSet<char> {
        let missing = self.missing(svg);
        if missing.is_empty() || self.all {
            return missing;
        }
        let mut fonts = (*self.fonts).clone();
        fonts.load_system_fonts();
        // A font of that name on the machine must not replace that of the program.
        fonts.set_sans_serif_family(FAMILY);
        self.fonts = Arc::new(fonts);
        self.all = true;
        self.missing(svg)
    }

    /// The characters of `svg` that no font has.
    fn missing(&self, svg: &str) -> BTreeSet<char> {
        let ascii = |c: &char| c.is_ascii();
        let mut wanted: BTreeSet<char> = svg.chars().filter(|c| !ascii(c)).collect();
        for face in self.fonts.faces() {
            if wanted.is_empty() {
                break;
            }
            self.fonts.with_face_data(face.id, |data, index| {
                if let Ok(face) = ttf_parser::Face::parse(data, index) {
                    wanted.retain(|c| face.glyph_index(*c).is_none());
                }
            });
        }
        wanted
    }

    fn tree(&self, svg: &str) -> Result<Tree, FigureError> {
        let options = Options {
            dpi: CSS,
            font_family: FAMILY.to_owned(),
            fontdb: Arc::clone(&self.fonts),
            ..Options::default()
        };
        Tree::from_str(svg, &options).map_err(|e| FigureError::Svg {
            reason: e.to_string(),
        })
    }

    /// The drawing as a PNG: as many pixels as its size says, or 300 per inch if that is in inches or
    /// millimetres.
    ///
    /// # Errors
    /// [`FigureError::Svg`], [`FigureError::Size`] and [`FigureError::Png`].
    pub fn png(&self, svg: &str) -> Result<Vec<u8>, FigureError> {
        let tree = self.tree(svg)?;
        let scale = if is_on_paper(svg) { PRINT / CSS } else { 1.0 };
        let (width, height) = (tree.size().width() * scale, tree.size().height() * scale);
        // The pixels cover the drawing: half a line at its edge would be grey.
        let (w, h) = (width.ceil().max(1.0), height.ceil().max(1.0));
        let refused = || FigureError::Size {
            width: w as u32,
            height: h as u32,
        };
        if w * h > MOST_PIXELS {
            return Err(refused());
        }
        let mut pixels = Pixmap::new(w as u32, h as u32).ok_or_else(refused)?;
        // A page of another shape than the drawing has margins, which are white like the drawing.
        pixels.fill(resvg::tiny_skia::Color::WHITE);
        resvg::render(
            &tree,
            Transform::from_scale(scale, scale),
            &mut pixels.as_mut(),
        );
        pixels.encode_png().map_err(|e| FigureError::Png {
            reason: e.to_string(),
        })
    }

    /// The drawing as a PDF of one page of its size, with its text as text and its fonts inside.
    ///
    /// # Errors
    /// [`FigureError::Svg`] and [`FigureError::Pdf`].
    pub fn pdf(&self, svg: &str) -> Result<Vec<u8>, FigureError> {
        let tree = self.tree(svg)?;
        let page = svg2pdf::PageOptions { dpi: CSS };
        svg2pdf::to_pdf(&tree, svg2pdf::ConversionOptions::default(), page).map_err(|e| {
            FigureError::Pdf {
                reason: e.to_string(),
            }
        })
    }
}

/// True if the size of the drawing is given in inches or millimetres.
fn is_on_paper(svg: &str) -> bool {
    let head = svg.split('>').next().unwrap_or_default();
    let width = head.split("width=\"").nth(1).unwrap_or_default();
    let width = width.split('"').next().unwrap_or_default();
    width.ends_with("mm") || width.ends_with("in")
}
