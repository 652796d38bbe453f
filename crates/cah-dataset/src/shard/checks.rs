//! What a shard and its rows have to keep.

use cah_protocol::IDS_PER_SHARD;

use crate::{
    embeddings,
    error::{DatasetError, Result},
    manifest::ShardInfo,
    row::{PairRow, StoredImage},
};

/// Makes sure that every row of the shard can have a number and a place.
pub(super) fn check_info(info: &ShardInfo) -> Result<()> {
    let number = info.shard.number;
    let bad = |why: &str| {
        let why = why.to_owned();
        Err(DatasetError::BadShard { number, why })
    };
    let highest = info.shard.start_id.checked_add(2 * IDS_PER_SHARD);
    if highest.is_none_or(|id| i64::try_from(id).is_err()) {
        return bad("its sample ids are larger than can be counted");
    }
    if info.dim == 0 {
        return bad("its embeddings have no values");
    }
    Ok(())
}

/// Makes sure that this pair can follow, where indices from `next_index` on are free.
pub(super) fn check_pair(
    info: &ShardInfo,
    next_index: u64,
    row: &PairRow,
    image: Option<&StoredImage>,
    [image_embedding, text_embedding]: [&[f32]; 2],
) -> Result<(), String> {
    let index = row.fetched.index;
    if index < next_index {
        return Err(format!("it comes after candidate {}", next_index - 1));
    }
    if index >= IDS_PER_SHARD {
        return Err(format!("a shard has {IDS_PER_SHARD} sample ids"));
    }
    if !row.similarity.is_finite() {
        return Err(format!("its similarity is {}", row.similarity));
    }
    let sides = [row.size, row.original_size].map(|size| size.width.max(size.height));
    if sides.into_iter().any(|side| i32::try_from(side).is_err()) {
        return Err("a side of its image is longer than can be counted".into());
    }
    check_image(info, image)?;
    embeddings::check("image", image_embedding, info.dim)?;
    embeddings::check("text", text_embedding, info.dim)
}

fn check_image(info: &ShardInfo, image: Option<&StoredImage>) -> Result<(), String> {
    match (image, &info.images) {
        (None, Some(_)) => Err("its image is missing".into()),
        (Some(_), None) => Err("it brings an image, but the shard stores none".into()),
        (Some(image), Some(_)) => check_extension(&image.extension),
        (None, None) => Ok(()),
    }
}

/// Extensions become names in a tar: few plain letters and digits, and none that the caption or
/// the row has.
fn check_extension(extension: &str) -> Result<(), String> {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let short = (1..=8).contains(&extension.len());
    if short && extension.bytes().all(plain) && !matches!(extension, "txt" | "json") {
        return Ok(());
    }
    Err(format!("`{extension}` is no image's extension"))
}
