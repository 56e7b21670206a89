"""Models with layers of every kind, small enough to be worked out by hand."""

from blis.config.model.layers import Attention, Experts, Indexer, LatentAttention, Layer, Mlp, StateMixer
from blis.config.model.model import Model

D, VOCAB = 4096, 100_000
FULL = Attention(32, 8, 128, 128)
MLP = Mlp(14_336)
MAMBA1 = StateMixer("mamba1", 80_000_000, 3, 8192, 8192 * 16)
MAMBA2 = StateMixer("mamba2", 76_000_000, 3, 8192, 128 * 64 * 128, 4, num_groups=8, group_channels=2 * 128)
GDN = StateMixer("gdn", 60_000_000, 3, 8192, 32 * 128 * 128)
KDA = StateMixer("kda", 60_000_000, 3, 3 * 4096, 32 * 128 * 128, 4)
LIGHTNING = StateMixer("lightning", 84_000_000, 0, 0, 32 * 128 * 128)
CONV = StateMixer("conv", 67_000_000, 2, 4096, 0)
LATENT = LatentAttention(128, 512, 1536, 128, 64, 128)
SPARSE = LatentAttention(128, 512, 1536, 128, 64, 128, Indexer(64, 128, 2048))
SHARED_SPARSE = LatentAttention(128, 512, 1536, 128, 64, 128, Indexer(64, 128, 2048, is_shared=True))
EXPERTS = Experts(64, 6, 1408, 2816)


def window(tokens, reach="window", heads=(32, 8, 128, 128)):
    return Attention(*heads, reach, tokens)


def of(*mixers, mlp=MLP):
    """A model of one layer per mixer."""
    return model(*(Layer((mixer,), mlp) for mixer in mixers))


def model(*layers):
    return Model("made-up", D, VOCAB, layers)


#: One or more of each kind.
MODELS = {
    "two windows": of(FULL, *[window(128)] * 3, *[window(1024)] * 2),
    "chunks": of(FULL, *[window(8192, "chunk")] * 3),
    "two shapes": of(Attention(16, 2, 512, 512, values_are_keys=True), *[window(1024, heads=(16, 8, 256, 256))] * 5),
    "earlier caches": of(FULL, window(512), Attention(32, 8, 128, 128, keeps_cache=False)),
    "gates": of(Attention(16, 2, 256, 256, has_gate=True), GDN, GDN, GDN),
    "mamba1": of(MAMBA1, MAMBA1, mlp=None),
    "mamba2": model(Layer((MAMBA2,), None), Layer((), MLP), Layer((FULL,), None), Layer((), EXPERTS)),
    "kda": of(KDA, KDA, KDA, LATENT, mlp=EXPERTS),
    "lightning": of(LIGHTNING, LIGHTNING, FULL),
    "conv": of(CONV, FULL),
    "side by side": model(*[Layer((FULL, MAMBA2), MLP)] * 2),
    "sparse": of(SPARSE, SHARED_SPARSE, SPARSE, mlp=EXPERTS),
    "two matrices": of(FULL, mlp=Mlp(20_000, num_matrices=2)),
    "latent experts": of(FULL, mlp=Experts(512, 22, 2688, 5376, num_matrices=2, latent_size=1024)),
}
