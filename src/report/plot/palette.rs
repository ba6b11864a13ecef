//! Colours of the drawings.

use std::fmt;
use std::str::FromStr;

/// A set of colours for the drawings.
///
/// Shapes and dashes repeat what colours say, so that no drawing rests on them alone.
///
/// # References
/// M. Okabe, K. Ito (2008), *Color Universal Design*; S. van der Walt, N. Smith (2015), *A better default
/// colormap for Matplotlib* (viridis).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Palette {
    /// Distinguishable with every common colour blindness.
    #[default]
    OkabeIto,
    /// Steps of viridis, distinguishable in greyscale too: their lightness differs.
    Viridis,
}

impl Palette {
    /// Every palette.
    pub const ALL: [Self; 2] = [Self::OkabeIto, Self::Viridis];

    /// The name in options: `okabe-ito` or `viridis`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OkabeIto => "okabe-ito",
            Self::Viridis => "viridis",
        }
    }

    /// The colour of an ink.
    pub(super) fn rgb(self, ink: Ink) -> [u8; 3] {
        match (ink, self) {
            (Ink::Black, _) => [0, 0, 0],
            (Ink::Grey, _) => [150, 150, 150],
            (Ink::FrameGrey, _) => [90, 90, 90],
            (Ink::Own(rgb), _) => rgb,
            (Ink::Orange, Self::OkabeIto) => [230, 159, 0],
            (Ink::Sky, Self::OkabeIto) => [86, 180, 233],
            (Ink::Green, Self::OkabeIto) => [0, 158, 115],
            (Ink::Blue, Self::OkabeIto) => [0, 114, 178],
            (Ink::Vermilion, Self::OkabeIto) => [213, 94, 0],
            (Ink::Purple, Self::OkabeIto) => [204, 121, 167],
            // From dark to light. The light end of viridis, yellow, cannot be seen on white.
            (Ink::Blue, Self::Viridis) => [68, 1, 84],
            (Ink::Purple, Self::Viridis) => [68, 58, 131],
            (Ink::Vermilion, Self::Viridis) => [49, 104, 142],
            (Ink::Green, Self::Viridis) => [33, 144, 140],
            (Ink::Sky, Self::Viridis) => [53, 183, 121],
            (Ink::Orange, Self::Viridis) => [109, 205, 89],
        }
    }

    /// The same as SVG writes it.
    pub(super) fn hex(self, ink: Ink) -> String {
        let [r, g, b] = self.rgb(ink);
        format!("#{r:02x}{g:02x}{b:02x}")
    }
}

impl fmt::Display for Palette {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Palette {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|p| p.as_str() == name)
            .ok_or_else(|| {
                let known = Self::ALL.map(Self::as_str).join(", ");
                format!("no palette is named {name:?}; there are {known}")
            })
    }
}

/// A colour by its part in the palette; the names are those of Okabe and Ito's colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    Orange,
    Sky,
    Green,
    Blue,
    Vermilion,
    Purple,
    Grey,
    FrameGrey,
    Black,
    /// A colour that the caller chose.
    Own([u8; 3]),
}

#[cfg(test)]
mod tests {
    use super::{Ink, Palette};

    const SERIES: [Ink; 6] = [
        Ink::Blue,
        Ink::Vermilion,
        Ink::Green,
        Ink::Purple,
        Ink::Orange,
        Ink::Sky,
    ];

    fn linear(rgb: [u8; 3]) -> [f64; 3] {
        rgb.map(|v| {
            let v = f64::from(v) / 255.0;
            match v <= 0.04045 {
                true => v / 12.92,
                false => ((v + 0.055) / 1.055).powf(2.4),
            }
        })
    }

    /// Relative luminance of WCAG 2.
    fn luminance([r, g, b]: [f64; 3]) -> f64 {
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    /// CIELAB under D65.
    fn lab([r, g, b]: [f64; 3]) -> [f64; 3] {
        let f = |t: f64| match t > 0.008_856 {
            true => t.cbrt(),
            false => 7.787 * t + 16.0 / 116.0,
        };
        let x = f((0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505);
        let y = f(luminance([r, g, b]));
        let z = f((0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089);
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    /// Dichromacy of G. M. Machado, M. M. Oliveira, L. A. F. Fernandes (2009), table 1, severity 1.
    const BLINDNESS: [(&str, [[f64; 3]; 3]); 4] = [
        ("none", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
        (
            "protanopia",
            [
                [0.152286, 1.052583, -0.204868],
                [0.114503, 0.786281, 0.099216],
                [-0.003882, -0.048116, 1.051998],
            ],
        ),
        (
            "deuteranopia",
            [
                [0.367322, 0.860646, -0.227968],
                [0.280085, 0.672501, 0.047413],
                [-0.011820, 0.042940, 0.968881],
            ],
        ),
        (
            "tritanopia",
            [
                [1.255528, -0.076749, -0.178779],
                [-0.078411, 0.930809, 0.147602],
                [0.004733, 0.691367, 0.303900],
            ],
        ),
    ];

    #[test]
    fn colours_differ_for_every_eye() {
        for palette in Palette::ALL {
            for (eye, m) in BLINDNESS {
                let seen = SERIES.map(|ink| {
                    let c = linear(palette.rgb(ink));
                    let seen = m.map(|row| row[0] * c[0] + row[1] * c[1] + row[2] * c[2]);
                    lab(seen.map(|v| v.clamp(0.0, 1.0)))
                });
                for (i, a) in seen.iter().enumerate() {
                    for (j, b) in seen[..i].iter().enumerate() {
                        let squares = (0..3).map(|k| (a[k] - b[k]).powi(2));
                        let distance = squares.sum::<f64>().sqrt();
                        // 2.3 is the least difference that is noticed side by side; marks lie apart.
                        assert!(
                            distance > 10.0,
                            "{palette}, {eye}: {:?} and {:?} are {distance:.1} apart",
                            SERIES[i],
                            SERIES[j]
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn colours_stand_out_from_paper() {
        for palette in Palette::ALL {
            for ink in SERIES.into_iter().chain([Ink::FrameGrey]) {
                let contrast = 1.05 / (luminance(linear(palette.rgb(ink))) + 0.05);
                // The least of Okabe and Ito's own, orange, has 2.2.
                assert!(contrast > 1.9, "{palette} {ink:?}: {contrast:.2}");
            }
        }
    }

    #[test]
    fn viridis_survives_a_photocopier() {
        let mut lightness = SERIES.map(|ink| lab(linear(Palette::Viridis.rgb(ink)))[0]);
        lightness.sort_by(f64::total_cmp);
        let steps: Vec<f64> = lightness.windows(2).map(|w| w[1] - w[0]).collect();
        assert!(steps.iter().all(|s| *s > 7.0), "{steps:?}");
    }

    #[test]
    fn names_are_read_back() {
        for palette in Palette::ALL {
            assert_eq!(palette.as_str().parse(), Ok(palette));
        }
        assert!("jet".parse::<Palette>().unwrap_err().contains("viridis"));
    }
}
