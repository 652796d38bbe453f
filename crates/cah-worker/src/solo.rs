//! WAT files in, dataset out, without a tracker.

use cah_dataset::Store;
use cah_protocol::{Piece, Shard};

use crate::{Observer, Pipeline, Progress, WorkerError};

/// The shards of a list of WAT files, numbered by their place in it as a tracker would.
pub fn shards_of(wats: &[String]) -> Vec<Shard> {
    (1..)
        .zip(wats)
        .flat_map(|(chunk, wat)| Piece::BOTH.map(|piece| Shard::of_chunk(chunk, piece, wat)))
        .collect()
}

/// Works through the shards in order and leaves out those that are complete in `store`.
///
/// Stopping it at any point, by dropping the future or by killing the process, costs no more than
/// the shard that was under way: the next run continues with it.
pub async fn solo(
    pipeline: &Pipeline,
    shards: &[Shard],
    store: &Store,
    observer: &dyn Observer,
) -> Result<(), WorkerError> {
    for shard in shards {
        let progress = Progress::default();
        observer.started(shard, &progress);
        let report = pipeline.run_own(shard, store, &progress).await?;
        observer.left(shard);
        observer.finished(&report);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_has_two_shards() {
        let shards = shards_of(&["a".into(), "b".into()]);
        let numbers: Vec<_> = shards.iter().map(|s| (s.number, s.url.as_str())).collect();
        assert_eq!(numbers, [(1, "a"), (2, "a"), (3, "b"), (4, "b")]);
    }
}
