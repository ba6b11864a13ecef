//! Choices of the caller: title, colours, names and size.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::PlotError;
use super::palette::{Ink, Palette};

/// The choices that all drawings share.
///
/// # Examples
///
/// ```
/// use relscale::report::plot::{Label, Style};
///
/// let mut style = Style::default();
/// style.title = false;
/// style.size = Some("88x60mm".parse()?);
/// let mut label = Label::new("English (India)");
/// label.colour = Some([0, 114, 178]);
/// style.labels.insert("eng-in".to_owned(), label);
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Style {
    /// If true, a heading and notes stand above each drawing. A caption replaces them in a paper.
    pub title: bool,
    /// Colours.
    pub palette: Palette,
    /// Names, places and colours of distributions, corpora and contrasts, by their names in the analysis.
    pub labels: BTreeMap<String, Label>,
    /// Size of the page; chosen by the content if `None`.
    pub size: Option<Size>,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            title: true,
            palette: Palette::default(),
            labels: BTreeMap::new(),
            size: None,
        }
    }
}

impl Style {
    /// The name that the drawing shows.
    pub(super) fn name<'a>(&'a self, name: &'a str) -> &'a str {
        self.labels.get(name).map_or(name, |l| l.text.as_str())
    }

    /// The colour chosen for `name`, or `otherwise`.
    pub(super) fn ink(&self, name: &str, otherwise: Ink) -> Ink {
        let own = self.labels.get(name).and_then(|l| l.colour);
        own.map_or(otherwise, Ink::Own)
    }

    /// Sorts by the places that labels give. What has none follows in its own order.
    pub(super) fn sort<T>(&self, items: &mut [T], name: impl Fn(&T) -> &str) {
        let place = |t: &T| self.labels.get(name(t)).and_then(|l| l.order);
        items.sort_by_key(|t| place(t).map_or((1, 0), |k| (0, k)));
    }

    /// Width and height in units of the drawing that the size asks for.
    pub(super) fn page(&self) -> Option<(f64, Option<f64>)> {
        self.size.map(|s| {
            let k = s.unit.drawn();
            (s.width * k, s.height.map(|h| h * k))
        })
    }

    /// Refuses a size that no page has.
    pub(super) fn check(&self) -> Result<(), PlotError> {
        match self.size {
            Some(size) if !size.is_drawable() => Err(PlotError::Size { size }),
            _ => Ok(()),
        }
    }
}

/// The way in which a drawing shows one name of the analysis.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Label {
    /// The text shown.
    pub text: String,
    /// Place among the others, smallest first.
    pub order: Option<i64>,
    /// Red, green and blue.
    pub colour: Option<[u8; 3]>,
}

impl Label {
    /// A label with this text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            order: None,
            colour: None,
        }
    }
}

/// The size of a page.
///
/// Reads `1200x800` (pixels), `88x60mm`, `6.75x3in` and, with the height left to the content, `6.75in`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Size {
    /// Width.
    pub width: f64,
    /// Height; chosen by the content if `None`.
    pub height: Option<f64>,
    /// Unit of both.
    pub unit: Unit,
}

impl Size {
    /// True if a page of this size can be drawn: 1 to 100 inches either way.
    fn is_drawable(self) -> bool {
        let inches = [Some(self.width), self.height].into_iter().flatten();
        inches
            .map(|v| v / self.unit.per_inch())
            .all(|v| (1.0..=100.0).contains(&v))
    }
}

/// A unit of length of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unit {
    /// CSS pixels, 96 per inch.
    Px,
    /// Millimetres.
    Mm,
    /// Inches.
    In,
}

impl Unit {
    const ALL: [Self; 3] = [Self::Px, Self::Mm, Self::In];

    /// The name that CSS has for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Px => "px",
            Self::Mm => "mm",
            Self::In => "in",
        }
    }

    /// Number of units per inch.
    #[must_use]
    pub fn per_inch(self) -> f64 {
        match self {
            Self::Px => 96.0,
            Self::Mm => 25.4,
            Self::In => 1.0,
        }
    }

    /// Units of a drawing per unit of length.
    fn drawn(self) -> f64 {
        match self {
            // Labels of 24 units are 12 pixels on a screen…
            Self::Px => 2.0,
            // …and 7 points on paper, the size of print in figures.
            Self::Mm | Self::In => 247.0 / self.per_inch(),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = self.unit.as_str();
        match self.height {
            Some(height) => write!(f, "{}x{height}{unit}", self.width),
            None => write!(f, "{}{unit}", self.width),
        }
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || {
            format!(
                "{text:?} is no size: give width x height with a unit, such as 1200x800px, 88x60mm or \
                 6.75x3in, or the width alone, such as 6.75in, from 1 to 100 inches"
            )
        };
        let trimmed = text.trim();
        let (numbers, unit) = Unit::ALL
            .into_iter()
            .find_map(|u| Some((trimmed.strip_suffix(u.as_str())?, u)))
            .unwrap_or((trimmed, Unit::Px));
        let (width, height) = match numbers.split_once(['x', '×']) {
            Some((width, height)) => (width, Some(height)),
            None => (numbers, None),
        };
        // `88mmx60mm` says the unit twice.
        let width = width.trim().trim_end_matches(unit.as_str());
        let number = |t: &str| t.trim().parse::<f64>().map_err(|_| refused());
        let size = Self {
            width: number(width)?,
            height: height.map(number).transpose()?,
            unit,
        };
        match size.is_drawable() {
            true => Ok(size),
            false => Err(refused()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Label, Size, Style, Unit};

    #[test]
    fn sizes_are_read_with_their_unit() {
        let size = |width, height, unit| Size {
            width,
            height: Some(height),
            unit,
        };
        let wide = Size {
            width: 6.75,
            height: None,
            unit: Unit::In,
        };
        for (text, expected) in [
            ("1200x800", size(1200.0, 800.0, Unit::Px)),
            ("1200 x 800 px", size(1200.0, 800.0, Unit::Px)),
            ("88x60mm", size(88.0, 60.0, Unit::Mm)),
            ("88mmx60mm", size(88.0, 60.0, Unit::Mm)),
            ("6.75x3in", size(6.75, 3.0, Unit::In)),
            ("6.75in", wide),
        ] {
            assert_eq!(text.parse::<Size>(), Ok(expected));
            let again = expected.to_string().parse::<Size>();
            assert_eq!(again, Ok(expected));
        }
        for bad in [
            "",
            "x",
            "88x",
            "x60mm",
            "88x60cm",
            "0x10in",
            "-5x5in",
            "NaNxNaN",
            "infx1in",
            "1e9x1in",
            "10x10px",
            "88inx60mm",
        ] {
            assert!(
                bad.parse::<Size>().unwrap_err().contains("88x60mm"),
                "{bad}"
            );
        }
    }

    #[test]
    fn labels_name_and_order() {
        let mut style = Style::default();
        let mut label = Label::new("third");
        label.order = Some(-1);
        style.labels.insert("c".to_owned(), label);
        let mut names = ["b", "a", "c"];
        style.sort(&mut names, |n| n);
        assert_eq!(names, ["c", "b", "a"]);
        assert_eq!(style.name("c"), "third");
        assert_eq!(style.name("a"), "a");
    }
}
