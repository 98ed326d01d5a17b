//! What tests of anything over a broker need: a private `RabbitMQ`, a way to break the connection to it, and
//! processes of other versions.

mod proxy;
mod rabbit;
mod versions;

pub use proxy::{FaultProxy, Mode};
pub use rabbit::Rabbit;
pub use versions::{Dressed, Version};
