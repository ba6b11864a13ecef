//! The elements of a drawing as SVG text.

use std::fmt::Write;

/// A place on the page, in units of the drawing.
pub(super) type Point = (f64, f64);

/// The outline of a shape.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stroke<'a> {
    pub(super) colour: &'a str,
    pub(super) width: f64,
    /// Lengths of dashes and gaps; solid if `None`.
    pub(super) dashes: Option<(f64, f64)>,
}

/// SVG under construction.
#[derive(Debug)]
pub(super) struct Svg {
    text: String,
}

impl Svg {
    /// Starts a page of `width` times `height` units, shown at the given lengths (with CSS units).
    pub(super) fn new((width, height): Point, shown: &(String, String), name: &str) -> Self {
        let mut svg = Self {
            text: String::new(),
        };
        let (w, h) = (short(width), short(height));
        let name = escaped(name);
        svg.push(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" \
             viewBox=\"0 0 {w} {h}\" role=\"img\" font-family=\"sans-serif\">\n\
             <title>{name}</title>\n",
            shown.0, shown.1
        ));
        // SVG is transparent, and black text on the dark page of a viewer cannot be read.
        svg.push(format_args!(
            "<rect class=\"page\" width=\"{w}\" height=\"{h}\" fill=\"#ffffff\"/>\n"
        ));
        svg
    }

    pub(super) fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }

    /// Opens a group, which editors of drawings and style sheets find by its class.
    pub(super) fn open(&mut self, class: &str) {
        self.push(format_args!("<g class=\"{class}\">\n"));
    }

    pub(super) fn close(&mut self) {
        self.text.push_str("</g>\n");
    }

    pub(super) fn line(&mut self, points: &[Point], stroke: Stroke<'_>) {
        let (colour, width) = (stroke.colour, short(stroke.width));
        let dashes = stroke.dashes.map_or_else(String::new, |(on, off)| {
            format!(" stroke-dasharray=\"{} {}\"", short(on), short(off))
        });
        let points = listed(points);
        self.push(format_args!(
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" \
             stroke-width=\"{width}\"{dashes}/>\n"
        ));
    }

    pub(super) fn polygon(&mut self, points: &[Point], colour: &str, opacity: f64) {
        let points = listed(points);
        let opacity = match opacity < 1.0 {
            true => format!(" fill-opacity=\"{opacity}\""),
            false => String::new(),
        };
        self.push(format_args!(
            "<polygon points=\"{points}\" fill=\"{colour}\"{opacity}/>\n"
        ));
    }

    pub(super) fn circle(&mut self, (x, y): Point, r: f64, fill: &str, stroke: Option<Stroke<'_>>) {
        let (x, y, r) = (short(x), short(y), short(r));
        let outline = stroke.map_or_else(String::new, |s| {
            format!(
                " stroke=\"{}\" stroke-width=\"{}\"",
                s.colour,
                short(s.width)
            )
        });
        self.push(format_args!(
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"{r}\" fill=\"{fill}\"{outline}/>\n"
        ));
    }

    /// Text whose middle line is at `y`; `anchor` is that of SVG.
    pub(super) fn text(&mut self, text: &str, (x, y): Point, set: &Setting<'_>) {
        // Half the height of capitals of common sans-serif fonts, 0.72 em. Viewers disagree about
        // `dominant-baseline`, and none about a baseline.
        let base = short(y + 0.36 * set.size);
        let turned = match set.turned {
            true => format!(" transform=\"rotate(270 {} {})\"", short(x), short(y)),
            false => String::new(),
        };
        let weight = match set.bold {
            true => " font-weight=\"bold\"",
            false => "",
        };
        self.push(format_args!(
            "<text x=\"{}\" y=\"{base}\" font-size=\"{}\" text-anchor=\"{}\" \
             fill=\"#000000\"{weight}{turned}>{}</text>\n",
            short(x),
            short(set.size),
            set.anchor,
            escaped(text)
        ));
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.text.write_fmt(text);
    }
}

/// The way in which a text is set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting<'a> {
    pub(super) size: f64,
    pub(super) anchor: &'a str,
    pub(super) bold: bool,
    /// If true, the text runs upwards about its place.
    pub(super) turned: bool,
}

/// A coordinate to a tenth of a unit, which no eye resolves.
fn short(v: f64) -> String {
    // NaN would make the whole drawing unreadable for some viewers.
    let v = if v.is_finite() { v } else { 0.0 };
    let text = format!("{v:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0" } else { text }.to_owned()
}

fn listed(points: &[Point]) -> String {
    let each: Vec<String> = points
        .iter()
        .map(|(x, y)| format!("{},{}", short(*x), short(*y)))
        .collect();
    each.join(" ")
}

/// Text as XML can hold it.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // XML 1.0 has no form for them, not even escaped: one would void the whole drawing.
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => safe.push('\u{fffd}'),
            // Overrides of direction would turn the text around a name as well.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::{escaped, short};

    #[test]
    fn coordinates_are_short() {
        assert_eq!(short(12.0), "12");
        assert_eq!(short(0.04), "0");
        assert_eq!(short(-0.04), "0");
        assert_eq!(short(3.25), "3.2");
        assert_eq!(short(f64::NAN), "0");
    }

    #[test]
    fn hostile_text_cannot_leave_its_element() {
        assert_eq!(
            escaped("</text><script a=\"b\" c='d'>&"),
            "&lt;/text&gt;&lt;script a=&quot;b&quot; c=&#39;d&#39;&gt;&amp;"
        );
        assert_eq!(escaped("a\u{0}b\u{1b}c\u{202e}d"), "a\u{fffd}b\u{fffd}cd");
    }
}
