//! Reads a list page by page until its end.

use crate::failure::Failure;

/// Objects asked for at once; the API allows 1000.
pub const PAGE_SIZE: u32 = 500;

/// Calls `page` with the token of the page before until there is none, and gives everything in order.
///
/// # Errors
/// What `page` fails with, or when a node repeats a token, which would never end.
pub async fn all<T, F>(page: F) -> Result<Vec<T>, Failure>
where
    F: AsyncFn(String) -> Result<(Vec<T>, String), Failure>,
{
    let mut rows = Vec::new();
    let mut token = String::new();
    loop {
        let (mut more, next) = page(token.clone()).await?;
        rows.append(&mut more);
        if next.is_empty() {
            return Ok(rows);
        }
        if next == token {
            return Err(Failure::Failed(
                "the node sent the same page token twice".to_owned(),
            ));
        }
        token = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pages_are_joined_and_a_circle_ends() {
        let joined = all(async |token| match token.as_str() {
            "" => Ok((vec![1, 2], "a".to_owned())),
            _ => Ok((vec![3], String::new())),
        });
        assert_eq!(joined.await.unwrap(), [1, 2, 3]);
        let circle = all(async |_| Ok((vec![1], "a".to_owned()))).await;
        assert_eq!(
            circle.unwrap_err().to_string(),
            "the node sent the same page token twice"
        );
    }
}
