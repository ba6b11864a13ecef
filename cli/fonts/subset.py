"""Cuts the fonts of the figures from DejaVu 2.37, as Debian's package fonts-dejavu-core has them.

    pip install fonttools==4.60.1
    python cli/fonts/subset.py /usr/share/fonts/truetype/dejavu

Keeps the alphabets that DejaVu draws well and everything that the drawings print themselves.
"""

import sys
from pathlib import Path

from fontTools import subset

RANGES = [
    (0x0020, 0x007E),  # ASCII
    (0x00A0, 0x024F),  # Latin with accents
    (0x0300, 0x036F),  # combining marks
    (0x0370, 0x052F),  # Greek, Cyrillic
    (0x0531, 0x058F),  # Armenian
    (0x0590, 0x05FF),  # Hebrew
    (0x0600, 0x06FF),  # Arabic
    (0x10A0, 0x10FF),  # Georgian
    (0x1E00, 0x1FFF),  # Latin and Greek with more accents
    (0x2000, 0x20CF),  # punctuation, superscripts, currencies
    (0x2100, 0x22FF),  # letterlike, fractions, arrows, operators
    (0x25A0, 0x25FF),  # geometric shapes
    (0xFFFD, 0xFFFD),  # the character that stands for what cannot be shown
]

for name in ["DejaVuSans", "DejaVuSans-Bold"]:
    options = subset.Options()
    # The licence stands in the table of names and travels with the font.
    options.name_IDs = ["*"]
    options.hinting = False
    options.layout_features = ["*"]
    options.notdef_outline = True
    source = Path(sys.argv[1]) / f"{name}.ttf"
    font = subset.load_font(source, options)
    cut = subset.Subsetter(options)
    cut.populate(unicodes=[c for low, high in RANGES for c in range(low, high + 1)])
    cut.subset(font)
    subset.save_font(font, Path(__file__).parent / f"{name}.subset.ttf", options)
