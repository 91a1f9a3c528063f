"""The paper's tables again: what is trained and measured for each, and the outcome beside the published figures."""
