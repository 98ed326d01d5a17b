//! `power`: what a question needs before it is paid for.
