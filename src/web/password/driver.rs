//! Argon2id on threads of its own, two at once at most: each takes 19 MiB and a core for some tens of milliseconds.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _};
use tokio::sync::Semaphore;

use super::Tries;

/// Hashes that are made at once.
const AT_ONCE_MAX: usize = 2;
/// Who waits this long for a turn is told to come again.
const TURN_WITHIN: Duration = Duration::from_secs(5);
/// A hash of nobody's password, with the cost of ours: a name without a password takes as long as one with.
const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$cHVsc2VteC1ub2JvZHkhIQ$rn6tSnHxQ//7deee9X2YPk1NVfVGxY+f1vR6jgzT1M0";

/// No turn came in time, or the thread failed.
#[derive(Debug, thiserror::Error)]
#[error("too many passwords are checked just now; try again in a minute")]
pub(in crate::web) struct Busy;

/// The place where passwords are made into hashes and compared.
#[derive(Debug)]
pub(in crate::web) struct Passwords {
    turns: Arc<Semaphore>,
    tries: Mutex<Tries>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE_MAX)), tries: Mutex::default() }
    }
}

impl Passwords {
    /// What was tried of late.
    pub(in crate::web) fn tries(&self) -> std::sync::MutexGuard<'_, Tries> {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The hash of a new password as PHC string.
    ///
    /// # Errors
    /// [`Busy`].
    pub(in crate::web) async fn hash(&self, password: String) -> Result<String, Busy> {
        self.work(move || Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string()).ok())
            .await?
            .ok_or(Busy)
    }

    /// Whether the password is that of `hash`. Without one it takes as long and is wrong.
    ///
    /// # Errors
    /// [`Busy`].
    pub(in crate::web) async fn is_right(&self, password: String, hash: Option<String>) -> Result<bool, Busy> {
        self.work(move || {
            let known = hash.as_deref().unwrap_or(NOBODYS);
            let fits = Argon2::default().verify_password(password.as_bytes(), known).is_ok();
            fits && hash.is_some()
        })
        .await
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        let turn = tokio::time::timeout(TURN_WITHIN, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.map_err(|_| Busy)?.map_err(|_| Busy)?;
        // The turn ends with the work, also if who asked has gone away.
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        done.await.map_err(|_| Busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hash_fits_its_password_only_and_nobodys_fits_none() {
        let passwords = Passwords::default();
        let hash = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(passwords.is_right("correct horse".to_owned(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.is_right("correct house".to_owned(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.is_right("correct horse".to_owned(), None).await.unwrap());
        assert!(!passwords.is_right("x".to_owned(), Some("damaged".to_owned())).await.unwrap());
        let cost = |text: &str| text.rsplitn(3, '$').last().map(str::to_owned);
        assert_eq!(cost(NOBODYS), cost(&hash), "the same work for a name without a password");
        let parsed = argon2::password_hash::phc::PasswordHash::new(NOBODYS).unwrap();
        assert_eq!(parsed.hash.unwrap().as_bytes().len(), 32);
        assert!(parsed.salt.unwrap().len() >= 16);
    }

    #[tokio::test]
    async fn two_hashes_are_made_at_once_and_a_third_waits() {
        let passwords = Passwords::default();
        let first = passwords.turns.clone().acquire_owned().await.unwrap();
        let second = passwords.turns.clone().acquire_owned().await.unwrap();
        assert!(passwords.turns.try_acquire().is_err());
        drop((first, second));
        passwords.hash("correct horse".to_owned()).await.unwrap();
        assert_eq!(passwords.turns.available_permits(), AT_ONCE_MAX);
    }
}
