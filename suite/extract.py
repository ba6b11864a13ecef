#!/usr/bin/env python3
"""Unpacked Debian packages -> data/docs/<component>.jsonl, one {"id", "text"} a document.

Python's standard library only; `fetch.sh` calls it. Documents come out in a fixed order.
"""
import bz2, gzip, html.parser, json, lzma, pathlib, re, struct, subprocess, sys, zlib
import xml.etree.ElementTree as ET

HERE = pathlib.Path(__file__).resolve().parent
UNPACKED, DOCS = HERE / "data/unpacked", HERE / "data/docs"
LANGUAGES = {  # component -> (GNOME folder, LibreOffice package suffix and folder, handbook folder)
    "german": ("de", "de", "de", "de-DE"),
    "french": ("fr", "fr", "fr", "fr-FR"),
    "spanish": ("es", "es", "es", "es-ES"),
    "russian": ("ru", "ru", "ru", None),
    "polish": ("pl", "pl", "pl", None),
    "portuguese": ("pt_BR", "pt-br", "pt-BR", "pt-BR"),
    "chinese": ("zh_CN", "zh-cn", "zh-CN", None),
    "japanese": ("ja", "ja", "ja", "ja-JP"),
    # Never trained on: test items only.
    "italian": (None, "it", "it", None),
    "czech": (None, "cs", "cs", None),
}


def tidy(text):
    """Strips trailing blanks, tabs inside lines stay; at most one empty line in a row."""
    text = text.replace("\u00a0", " ").replace("\r", "")
    text = "\n".join(line.rstrip() for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", text).strip()


class Text(html.parser.HTMLParser):
    """The readable text of a page: from the element that `start(tag, attributes)` accepts."""

    BLOCK = {"p", "div", "li", "dt", "dd", "h1", "h2", "h3", "h4", "h5", "h6", "tr", "pre", "blockquote", "table", "ul", "ol", "dl", "section"}
    VOID = {"br", "hr", "img", "input", "meta", "link", "col", "area", "base", "wbr"}
    SKIP = {"script", "style", "nav", "head", "header", "footer", "button", "svg"}

    def __init__(self, start):
        super().__init__(convert_charrefs=True)
        self.start, self.out, self.stack, self.pre = start, [], [], 0

    def on(self):
        return self.stack and self.stack[-1][1]

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag in self.VOID:
            if tag == "br" and self.on():
                self.out.append("\n")
            return
        on = self.on() or self.start(tag, attributes)
        kind = attributes.get("class") or ""
        if tag in self.SKIP or "hidden" in attributes or kind in ("headerlink", "navheader", "navfooter", "related", "relatedtopics", "book-navigation", "docnav", "toc"):
            on = None  # off, and off for all that it holds
        if self.stack and self.stack[-1][1] is None:
            on = None
        self.stack.append((tag, on))
        self.pre += tag == "pre"
        if on and tag in self.BLOCK:
            self.out.append("\n" if tag in ("li", "dt", "dd", "tr") else "\n\n")
        if on and tag == "td":
            self.out.append(" ")

    def handle_endtag(self, tag):
        if not any(t == tag for t, _ in self.stack):
            return
        while True:
            t, on = self.stack.pop()
            self.pre -= t == "pre"
            if on and t in self.BLOCK:
                self.out.append("\n")
            if t == tag:
                break

    def handle_data(self, data):
        if self.on():
            self.out.append(data if self.pre else re.sub(r"\s+", " ", data))


def page(path, start):
    parser = Text(start)
    parser.feed(path.read_text("utf-8", "replace"))
    return tidy("\n".join(line.strip() if not line.startswith("    ") else line for line in "".join(parser.out).split("\n")))


def pages(folder, start, pattern="**/*.html"):
    root = UNPACKED / folder
    for path in sorted(root.glob(pattern)):
        if path.is_file():
            yield f"{root.name}/{path.relative_to(root)}", page(path, start)


def display_area(tag, a):
    return a.get("id") == "DisplayArea"


def body(tag, a):
    return tag == "body"


def libreoffice(package, language):
    return pages(f"libreoffice-help-{package}/usr/share/libreoffice/help/{language}/text", display_area)


def handbook(language):
    return pages(f"debian-handbook/usr/share/doc/debian-handbook/html/{language}", body)


def mallard(language):
    """GNOME's help pages: paragraphs, titles and list items in reading order, without what is not translated."""
    english = set()
    if language != "C":
        english = {p for _, text in mallard("C") for p in text.split("\n\n")}
    skip = {"info", "media", "links", "comment"}
    block = {"title", "p", "desc", "item", "td", "code", "screen"}

    def walk(node, out):
        name = node.tag.rsplit("}", 1)[-1] if isinstance(node.tag, str) else None
        if name is None or name in skip:
            return
        inline = name not in block and name not in {"page", "section", "list", "steps", "terms", "note", "table", "tr", "thead", "tbody", "if", "choose", "when", "else"}
        if not inline:
            out.append("\n\n" if name in ("title", "p") else "\n")
        out.append(re.sub(r"\s+", " ", node.text or ""))
        for child in node:
            walk(child, out)
            out.append(re.sub(r"\s+", " ", child.tail or ""))

    for guide in ("gnome-help", "system-admin-guide"):
        root = UNPACKED / "gnome-user-docs/usr/share/help" / language / guide
        for path in sorted(root.glob("*.page")):
            out = []
            try:
                walk(ET.parse(path).getroot(), out)
            except ET.ParseError:
                continue
            text = tidy(re.sub(r" *\n *", "\n", re.sub(r"  +", " ", "".join(out))))
            yield f"{guide}/{path.stem}", "\n\n".join(p for p in text.split("\n\n") if not (len(p) >= 30 and p in english))


def austen():
    """The novels: an R lazy-load database, compressed records that hold one character vector each."""
    blob = (UNPACKED / "r-cran-janeaustenr/usr/lib/R/site-library/janeaustenr/data/Rdata.rdb").read_bytes()
    at = 0
    while at + 5 < len(blob):
        (size,) = struct.unpack(">i", blob[at : at + 4])
        kind = blob[at + 4 : at + 5]
        make = {b"2": (5, bz2.BZ2Decompressor), b"Z": (5, lambda: lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2}]))}.get(kind, (4, zlib.decompressobj))
        inflate = make[1]()
        data = inflate.decompress(blob[at + make[0] :])
        assert len(data) == size, (len(data), size)
        at = len(blob) - len(inflate.unused_data)
        lines = strings(data)
        if len(lines) < 1000:
            continue
        novel, chapter, text = lines[0].title(), 0, []
        for line in lines:
            if re.match(r"(CHAPTER|Chapter) [0-9IVXLC]+\b", line):
                if chapter:
                    yield f"{novel}/{chapter:02}", tidy("\n".join(text))
                chapter, text = chapter + 1, []
            text.append(line)
        yield f"{novel}/{chapter:02}", tidy("\n".join(text))


def strings(data):
    """The first character vector of an R serialisation (XDR)."""
    assert data[:2] == b"X\n"
    version = struct.unpack(">i", data[2:6])[0]
    at = 14
    if version == 3:
        at += 4 + struct.unpack(">i", data[14:18])[0]
    flags, count = struct.unpack(">ii", data[at : at + 8])
    if flags & 255 != 16:
        return []
    at, out = at + 8, []
    for _ in range(count):
        size = struct.unpack(">i", data[at + 4 : at + 8])[0]
        out.append(data[at + 8 : at + 8 + max(size, 0)].decode("utf-8"))
        at += 8 + max(size, 0)
    return out


def bible():
    """The King James Version by chapter, without the verse numbers."""
    run = subprocess.run(
        [UNPACKED / "bible-kjv/usr/bin/bible", "-p", UNPACKED / "bible-kjv-text/usr/lib", "-f", "gen1:1-rev22:21"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    chapters = {}
    for line in run.stdout.splitlines():
        match = re.match(r"(\w+?)(\d+):(\d+) (.*)", line.strip())
        if match:
            chapters.setdefault(f"{match[1]}/{int(match[2]):03}", []).append(match[4])
    for name, verses in chapters.items():
        yield name, "\n".join(verses)


def manuals():
    """FreeBSD's manual pages rendered at 78 columns (regular files only: no links, no `.so` stubs)."""
    for path in sorted((UNPACKED / "freebsd-manpages/usr/share/man").glob("man*/*.gz")):
        if path.is_symlink():
            continue
        source = gzip.decompress(path.read_bytes())
        if len(source) < 1500 or source.startswith(b".so"):
            continue
        run = subprocess.run(["groff", "-mandoc", "-Tutf8", "-Kutf8", "-P-cbou", "-rLL=78n"], input=source, capture_output=True)
        yield path.name.replace(".gz", ""), tidy(run.stdout.decode("utf-8", "replace"))


def sources(folder, pattern, skip):
    root = UNPACKED / folder
    for path in sorted(root.glob(pattern)):
        name = str(path.relative_to(root))
        if not path.is_file() or re.search(skip, name):
            continue
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        # The licence header is the same in every file.
        text = re.sub(r"\A(//|#) Copyright[^\n]*\n((//|#)[^\n]*\n)*", "", text)
        yield name, tidy(text)


def chain(*parts):
    for prefix, part in parts:
        for name, text in part:
            yield f"{prefix}/{name}", text


def components():
    yield "novels", austen()
    yield "scripture", bible()
    yield "essays", pages("anarchism/usr/share/doc/anarchism/html", body, "*.html")
    yield "english-manuals", chain(
        ("libreoffice", libreoffice("en-us", "en-US")), ("handbook", handbook("en-US")),
        ("python", pages("python3.11-doc/usr/share/doc/python3.11/html", lambda t, a: a.get("role") == "main")),
        ("git", pages("git-doc/usr/share/doc/git/html", body)))
    yield "gnome-help", chain(("gnome", mallard("C")))
    yield "database-manual", chain(("postgresql", pages("postgresql-doc-15/usr/share/doc/postgresql-doc-15/html", body)))
    yield "manual-pages", manuals()
    yield "python", sources("libpython3.11-stdlib/usr/lib/python3.11", "**/*.py", r"(^|/)(test|tests|idlelib/idle_test|pydoc_data)/|encodings/|lib2to3/pgen")
    stds = ("core", "alloc", "std", "test", "proc_macro")
    yield "rust", chain(*[(c, sources(next((UNPACKED / "rust-src/usr/src").glob("rustc-*")).relative_to(UNPACKED) / "library" / c, "src/**/*.rs", r"tests|benches|unicode_data|dec2flt/table")) for c in stds])
    yield "go", sources("golang-1.19-src/usr/share/go-1.19/src", "**/*.go", r"_test\.go|testdata|vendor/|zerrors|zsys|ztypes|table|rewrite|opGen|cmd/|syscall")
    for component, (gnome, package, office, book) in LANGUAGES.items():
        parts = [("gnome", mallard(gnome))] if gnome else []
        parts.append(("libreoffice", libreoffice(package, office)))
        if book:
            parts.append(("handbook", handbook(book)))
        yield component, chain(*parts)


def main():
    DOCS.mkdir(parents=True, exist_ok=True)
    only = set(sys.argv[1:])
    for component, documents in components():
        if only and component not in only:
            continue
        count = size = 0
        seen = set()
        with open(DOCS / f"{component}.jsonl", "w", encoding="utf-8") as out:
            for name, text in documents:
                if len(text) < 200 or text in seen or "\ufffd" in text:
                    continue
                seen.add(text)
                out.write(json.dumps({"id": name, "text": text}, ensure_ascii=False) + "\n")
                count, size = count + 1, size + len(text.encode())
        print(f"{component}: {count} documents, {size / 1e6:.2f} MB", flush=True)


main()
