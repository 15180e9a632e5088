"""The paper's figures and the report page, made from the folders of a finished run."""
