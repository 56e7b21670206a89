"""What a finite, correlated series of observations says about the law behind it; plain arrays in, figures out."""
