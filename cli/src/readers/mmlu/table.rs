//! The tables of questions.

use std::io::Read;
use std::path::Path;

use super::MmluQuestion;
use crate::readers::rows::rows;
use relscale::{Error, input};

/// Names of the columns, for errors.
const COLUMNS: [&str; 6] = [
    "question", "choice A", "choice B", "choice C", "choice D", "answer",
];

pub(super) fn questions(path: &Path) -> Result<Vec<MmluQuestion>, Error> {
    let mut text = Vec::new();
    let read = input::open(path).and_then(|mut file| file.read_to_end(&mut text));
    read.map_err(|e| Error::io(path, e))?;
    let reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_slice());
    let mut questions = Vec::new();
    for (index, row) in rows(reader, &text).enumerate() {
        let error = |line: usize, message: String| Error::Line {
            path: path.to_owned(),
            line,
            message,
        };
        let (line, row) = row.map_err(|(line, message)| error(line, message))?;
        let error = |message| error(line, message);
        if index == 0 && row.get(0) == Some("question") && row.get(5) == Some("answer") {
            continue;
        }
        let fields: Vec<&str> = row.iter().collect();
        let &[question, a, b, c, d, answer] = fields.as_slice() else {
            let message = format!("{} columns; a question has {}", fields.len(), COLUMNS.len());
            return Err(error(message));
        };
        if let Some(empty) = fields.iter().position(|f| f.trim().is_empty()) {
            return Err(error(format!("column `{}` is empty", COLUMNS[empty])));
        }
        let answer = match answer.trim() {
            "A" | "0" => 0,
            "B" | "1" => 1,
            "C" | "2" => 2,
            "D" | "3" => 3,
            other => {
                let message = format!("column `answer`: `{other}` is not A to D or 0 to 3");
                return Err(error(message));
            }
        };
        questions.push(MmluQuestion {
            question: question.to_owned(),
            choices: [a, b, c, d].map(str::to_owned),
            answer,
        });
    }
    Ok(questions)
}
