//! Tells the backup MX who lives in the customer's domains, from a file or from what a program prints.

pub(super) mod driver;
