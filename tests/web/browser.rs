//! The pages in a real browser, where one is installed: layout, policy, live updates, scripts off.
