/// Writes the table of [`export_csv`] as a Parquet file, in its columns and not compressed; `seed`
/// and `trajectory` are null where a run has none. It takes the place of `path` at once or not at
/// all.
///
/// # Errors
/// A log without the scorer, or a failing write.
#[cfg(feature = "parquet")]
pub fn export_parquet(
    path: impl AsRef<Path>,
    logs: &[(&Run, &Table)],
    scorer: &str,
    convention: FlopConvention,
) -> Result<(), Error> {
    use std::sync::Arc;

    use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
    use parquet::errors::ParquetError;
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
    use parquet::schema::parser::parse_message_type;

    const SCHEMA: &str = "message scores {
        required binary corpus (UTF8); required binary run (UTF8);
        required double budget; required double flops; required double params;
        required double tokens; optional int64 seed (UINT_64);
        required binary distribution (UTF8); required binary cluster (UTF8);
        required binary item (UTF8); required double loss; required double weight;
        optional binary trajectory (UTF8); required binary flop_convention (UTF8);
        required boolean held_out;
    }";
    /// Rows that are encoded at once.
    const GROUP: usize = 1 << 20;

    type Group<'a> = SerializedRowGroupWriter<'a, File>;

    fn column<T: parquet::data_type::DataType>(
        group: &mut Group<'_>,
        values: &[T::T],
        present: Option<&[i16]>,
    ) -> Result<(), ParquetError> {
        // The schema has as many columns as are written.
        let Some(mut column) = group.next_column()? else {
            return Err(ParquetError::General("a column too many".to_owned()));
        };
        column.typed::<T>().write_batch(values, present, None)?;
        column.close()
    }

    let path = path.as_ref();
    let failed = |e: ParquetError| Error::format(path, e);
    let rows = rows(logs, scorer)?;
    let schema = parse_message_type(SCHEMA).map_err(failed)?;
    let properties = Arc::new(WriterProperties::builder().build());
    replace(path, |file| {
        let file = file.try_clone().map_err(|e| Error::io(path, e))?;
        let mut out =
            SerializedFileWriter::new(file, Arc::new(schema), properties).map_err(failed)?;
        for rows in rows.chunks(GROUP) {
            let write = |group: &mut Group<'_>| -> Result<(), ParquetError> {
                let text =
                    |of: &dyn Fn(&Row<'_>) -> ByteArray| rows.iter().map(of).collect::<Vec<_>>();
                let number = |of: &dyn Fn(&Row<'_>) -> f64| rows.iter().map(of).collect::<Vec<_>>();
                column::<ByteArrayType>(group, &text(&|r| r.run.corpus.as_str().into()), None)?;
                column::<ByteArrayType>(group, &text(&|r| r.run.id.as_str().into()), None)?;
                column::<DoubleType>(group, &number(&|r| r.run.budget), None)?;
                column::<DoubleType>(group, &number(&|r| r.run.flops), None)?;
                column::<DoubleType>(group, &number(&|r| r.run.params), None)?;
                column::<DoubleType>(group, &number(&|r| r.run.tokens), None)?;
                let seeds: Vec<i64> = rows
                    .iter()
                    .filter_map(|r| r.run.seed)
                    .map(u64::cast_signed)
                    .collect();
                let present: Vec<i16> = rows.iter().map(|r| r.run.seed.is_some().into()).collect();
                column::<Int64Type>(group, &seeds, Some(&present))?;
                column::<ByteArrayType>(group, &text(&|r| r.distribution.into()), None)?;
                column::<ByteArrayType>(group, &text(&|r| r.cluster.into()), None)?;
                column::<ByteArrayType>(group, &text(&|r| r.item.into()), None)?;
                column::<DoubleType>(group, &number(&|r| r.score.loss / r.score.weight), None)?;
                column::<DoubleType>(group, &number(&|r| r.score.weight), None)?;
                let trajectories: Vec<ByteArray> = rows
                    .iter()
                    .filter_map(|r| r.run.trajectory.as_deref())
                    .map(ByteArray::from)
                    .collect();
                let present: Vec<i16> = rows
                    .iter()
                    .map(|r| r.run.trajectory.is_some().into())
                    .collect();
                column::<ByteArrayType>(group, &trajectories, Some(&present))?;
                column::<ByteArrayType>(group, &text(&|_| convention.as_str().into()), None)?;
                let held_out: Vec<bool> = rows.iter().map(|r| r.run.held_out).collect();
                column::<BoolType>(group, &held_out, None)
            };
            let mut group = out.next_row_group().map_err(failed)?;
            write(&mut group).map_err(failed)?;
            group.close().map_err(failed)?;
        }
        out.close().map_err(failed)?;
        Ok(())
    })
}
