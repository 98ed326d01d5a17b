//! What tests of anything over a broker need: a private `RabbitMQ` and a way to break the connection to it.

mod proxy;
mod rabbit;

pub use proxy::{FaultProxy, Mode};
pub use rabbit::Rabbit;
