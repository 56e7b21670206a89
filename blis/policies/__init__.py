"""Control policies: who is let in, where it goes, who is served first."""
