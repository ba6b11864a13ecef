//! Drawings read back: elements with the groups they stand in, and axes by the labels of their ticks.

use std::collections::BTreeMap;

/// One element with the classes of its groups, outermost first.
#[derive(Debug, Clone)]
pub(crate) struct Element {
    pub(crate) tag: String,
    pub(crate) groups: Vec<(String, usize)>,
    pub(crate) text: String,
    attributes: BTreeMap<String, String>,
}

impl Element {
    fn number(&self, name: &str) -> f64 {
        let text = self.attributes.get(name).map_or("0", String::as_str);
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is {text:?}"))
    }

    /// Left, top, right and bottom of a shape.
    pub(crate) fn extent(&self) -> [f64; 4] {
        if self.tag == "circle" {
            let (x, y, r) = (self.number("cx"), self.number("cy"), self.number("r"));
            return [x - r, y - r, x + r, y + r];
        }
        let mut e = [f64::MAX, f64::MAX, f64::MIN, f64::MIN];
        for point in self.attributes["points"].split(' ') {
            let (x, y) = point.split_once(',').unwrap();
            let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
            e = [e[0].min(x), e[1].min(y), e[2].max(x), e[3].max(y)];
        }
        e
    }

    /// Left, top, right and bottom of a text, its characters taken as 0.5 em wide, the mean of Arial,
    /// and raised digits as a third of an em.
    pub(crate) fn bounds(&self) -> [f64; 4] {
        let (x, y, size) = (self.number("x"), self.number("y"), self.number("font-size"));
        let em = |c: char| {
            if "⁻⁰¹²³⁴⁵⁶⁷⁸⁹".contains(c) {
                0.34
            } else {
                0.5
            }
        };
        let length = size * self.text.chars().map(em).sum::<f64>();
        let (left, right) = match self.attributes["text-anchor"].as_str() {
            "start" => (0.0, length),
            "end" => (-length, 0.0),
            _ => (-0.5 * length, 0.5 * length),
        };
        // Text gives its baseline.
        let (middle, half) = (y - 0.36 * size, 0.5 * size);
        match self.attributes.contains_key("transform") {
            true => [x - half, middle - right, x + half, middle - left],
            false => [x + left, middle - half, x + right, middle + half],
        }
    }

    fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g.0 == group)
    }
}

/// A drawing, or a part of one.
#[derive(Debug, Clone)]
pub(crate) struct Drawing {
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) elements: Vec<Element>,
}

impl Drawing {
    pub(crate) fn parse(svg: &str) -> Self {
        let mut elements = Vec::new();
        let mut stack: Vec<(String, usize)> = Vec::new();
        let (mut width, mut height) = (0.0, 0.0);
        let mut count = 0;
        for piece in svg.split('<').skip(1) {
            let (head, text) = piece.split_once('>').expect("an open bracket");
            let tag = head.split([' ', '/']).find(|t| !t.is_empty()).unwrap();
            let attributes = attributes(head);
            match (head.starts_with('/'), tag) {
                (true, "g") => {
                    stack.pop().expect("a group closed twice");
                }
                (false, "g") => {
                    count += 1;
                    stack.push((attributes["class"].clone(), count));
                }
                (false, "svg") => {
                    let numbers: Vec<f64> = attributes["viewBox"]
                        .split(' ')
                        .map(|v| v.parse().unwrap())
                        .collect();
                    (width, height) = (numbers[2], numbers[3]);
                }
                (true, _) | (false, "title") => {}
                (false, tag) => elements.push(Element {
                    tag: tag.to_owned(),
                    groups: stack.clone(),
                    text: plain(text),
                    attributes,
                }),
            }
        }
        assert!(stack.is_empty(), "a group is left open");
        Self {
            width,
            height,
            elements,
        }
    }

    pub(crate) fn of<'a>(&'a self, tag: &'a str) -> impl Iterator<Item = &'a Element> + 'a {
        self.elements.iter().filter(move |e| e.tag == tag)
    }

    pub(crate) fn in_group<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a Element> + 'a {
        self.elements.iter().filter(move |e| e.is_in(group))
    }

    /// Everything that is no text.
    pub(crate) fn shapes(&self) -> impl Iterator<Item = &Element> + '_ {
        self.elements.iter().filter(|e| e.tag != "text")
    }

    /// The groups of a class, each as a drawing.
    pub(crate) fn groups(&self, class: &str) -> Vec<Self> {
        let mut found: Vec<(usize, Self)> = Vec::new();
        for element in &self.elements {
            let Some((_, id)) = element.groups.iter().find(|g| g.0 == class) else {
                continue;
            };
            if found.last().is_none_or(|f| f.0 != *id) {
                let empty = Self {
                    elements: Vec::new(),
                    ..*self
                };
                found.push((*id, empty));
            }
            found.last_mut().unwrap().1.elements.push(element.clone());
        }
        found.into_iter().map(|f| f.1).collect()
    }

    /// The frames with everything that is drawn from their border on.
    pub(crate) fn frames(&self) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        for element in &self.elements {
            if element.is_in("frame") {
                found.push(Self {
                    elements: Vec::new(),
                    ..*self
                });
            }
            if let Some(frame) = found.last_mut() {
                frame.elements.push(element.clone());
            }
        }
        found
    }

    /// An axis by its ticks and their labels: `value` reads a label.
    pub(crate) fn x_axis(&self, class: &str, value: impl Fn(&str) -> Option<f64>) -> Ruler {
        self.ruler(class, value, 0)
    }

    fn ruler(&self, class: &str, value: impl Fn(&str) -> Option<f64>, side: usize) -> Ruler {
        let axis: Vec<&Element> = self.in_group(class).collect();
        let ticks = axis.iter().filter(|e| e.tag == "polyline");
        let labels = axis.iter().filter(|e| e.tag == "text");
        let points: Vec<(f64, f64)> = ticks
            .zip(labels)
            .map(|(tick, label)| {
                let read = value(&label.text);
                (
                    tick.extent()[side],
                    read.unwrap_or_else(|| panic!("{:?} on an axis", label.text)),
                )
            })
            .collect();
        Ruler { points }
    }

    /// The markers as (scale, value) by the ticks of both axes; `None` where an axis has one tick only,
    /// which says no distance.
    pub(crate) fn readings(&self) -> Option<Readings> {
        let x = self.ruler("x-axis", |t| Some(number(t)?.ln()), 0);
        let y = self.ruler("y-axis", |t| Some(number(t)?.ln()), 1);
        if x.points.len() < 2 || y.points.len() < 2 {
            return None;
        }
        let mut points = Vec::new();
        // Both strokes of a cross are one marker.
        let mut last = None;
        for marker in self.in_group("readings") {
            let e = marker.extent();
            if last == Some(e) {
                continue;
            }
            last = Some(e);
            let at = |ruler: &Ruler, low: f64, high: f64| ruler.value(0.5 * (low + high)).exp();
            points.push((at(&x, e[0], e[2]), at(&y, e[1], e[3])));
        }
        // Places are rounded to a tenth of a unit, those of two ticks as well, and ticks may be a fifth of
        // the axis apart.
        let resolution = |ruler: &Ruler| 0.6 * (ruler.value(1.0) - ruler.value(0.0)).abs();
        Some(Readings {
            points,
            resolution: (resolution(&x), resolution(&y)),
        })
    }
}

/// Markers of a frame by the ticks of its axes.
#[derive(Debug)]
pub(crate) struct Readings {
    /// (scale, value) of each.
    pub(crate) points: Vec<(f64, f64)>,
    /// Resolution of the coordinates in the logarithms of both.
    pub(crate) resolution: (f64, f64),
}

/// An axis as a line through its ticks.
#[derive(Debug)]
pub(crate) struct Ruler {
    points: Vec<(f64, f64)>,
}

impl Ruler {
    pub(crate) fn value(&self, place: f64) -> f64 {
        let (first, last) = (self.points[0], self.points[self.points.len() - 1]);
        first.1 + (place - first.0) * (last.1 - first.1) / (last.0 - first.0)
    }
}

fn attributes(head: &str) -> BTreeMap<String, String> {
    let mut parts = head.split('"');
    let mut found = BTreeMap::new();
    while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
        let name = name.trim().trim_end_matches('=');
        let name = name.rsplit(' ').next().unwrap();
        found.insert(name.to_owned(), value.to_owned());
    }
    found
}

fn plain(text: &str) -> String {
    text.trim_end_matches('\n')
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}

/// A label as a number: `1.5`, `10¹⁸` or `3·10⁻⁴`.
fn number(label: &str) -> Option<f64> {
    let label = label.replace('−', "-");
    let (lead, power) = match label.split_once('·') {
        Some((lead, power)) => (lead.parse().ok()?, power),
        None if label.starts_with("10") && !label.is_ascii() => (1.0, label.as_str()),
        None => return label.parse().ok(),
    };
    let digits: String = power
        .strip_prefix("10")?
        .chars()
        .map(|c| match "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().position(|d| d == c) {
            Some(d) => char::from_digit(d as u32, 10).unwrap(),
            None => '-',
        })
        .collect();
    let power: f64 = digits.parse().ok()?;
    Some(lead * 10_f64.powf(power))
}
