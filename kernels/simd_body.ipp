// The float inner loops, written once over a vector type. Included inside an anonymous namespace by one file per
// instruction set, after that file has defined:
//   Vec, kWidth, kTileRows, load, store, set1, add, sub, mul, div, fma (a * b + c), vmin, vmax, pick_less (a < b ? x : y),
//   round_nearest, scale_pow2 (x * 2^n for integral n in [-126, 127]).
// No standard library here: see simd.hpp.

// exp(x) by x = n ln2 + r, |r| <= ln2/2, and a degree 6 polynomial (Cephes expf). Clamped to [-87.3, 88.3], about 1 ulp.
inline Vec vexp(Vec x) {
  x = vmin(vmax(x, set1(-87.3f)), set1(88.3f));
  const Vec n = round_nearest(mul(x, set1(1.44269504088896341f)));
  Vec r = fma(n, set1(-0.693359375f), x);
  r = fma(n, set1(2.12194440e-4f), r);
  Vec p = set1(1.9875691500e-4f);
  p = fma(p, r, set1(1.3981999507e-3f));
  p = fma(p, r, set1(8.3334519073e-3f));
  p = fma(p, r, set1(4.1665795894e-2f));
  p = fma(p, r, set1(1.6666665459e-1f));
  p = fma(p, r, set1(5.0000001201e-1f));
  return scale_pow2(add(fma(p, mul(r, r), r), set1(1.0f)), n);
}

// erf(x) as an odd rational minimax approximation on [-4, 4]; beyond, it is +-1 in float.
inline Vec verf(Vec x) {
  x = vmin(vmax(x, set1(-4.0f)), set1(4.0f));
  const Vec z = mul(x, x);
  Vec p = set1(-2.72614225801306e-10f);
  p = fma(p, z, set1(2.77068142495902e-08f));
  p = fma(p, z, set1(-2.10102402082508e-06f));
  p = fma(p, z, set1(-5.69250639462346e-05f));
  p = fma(p, z, set1(-7.34990630326855e-04f));
  p = fma(p, z, set1(-2.95459980854025e-03f));
  p = fma(p, z, set1(-1.60960333262415e-02f));
  Vec q = set1(-1.45660718464996e-05f);
  q = fma(q, z, set1(-2.13374055278905e-04f));
  q = fma(q, z, set1(-1.68282697438203e-03f));
  q = fma(q, z, set1(-7.37332916720468e-03f));
  q = fma(q, z, set1(-1.42647390514189e-02f));
  return div(mul(x, p), q);
}

// tanh(x): an odd polynomial below 0.625 (Cephes tanhf), 1 - 2 / (exp(2|x|) + 1) with the sign above.
inline Vec vtanh(Vec x) {
  const Vec size = vmax(x, sub(set1(0.0f), x));
  const Vec z = mul(x, x);
  Vec p = set1(-5.70498872745e-3f);
  p = fma(p, z, set1(2.06390887954e-2f));
  p = fma(p, z, set1(-5.37397155531e-2f));
  p = fma(p, z, set1(1.33314422036e-1f));
  p = fma(p, z, set1(-3.33332819422e-1f));
  const Vec small = fma(mul(p, z), x, x);
  const Vec big = sub(set1(1.0f), div(set1(2.0f), add(vexp(add(size, size)), set1(1.0f))));
  const Vec signed_big = pick_less(x, set1(0.0f), sub(set1(0.0f), big), big);
  return pick_less(size, set1(0.625f), small, signed_big);
}

inline Vec activate(Vec x, Activation kind) {
  switch (kind) {
    case Activation::none: return x;
    case Activation::relu: return vmax(x, set1(0.0f));
    case Activation::tanh: return vtanh(x);
    case Activation::gelu: {
      const Vec half = mul(x, set1(0.5f));
      return fma(half, verf(mul(x, set1(0.70710678118654752f))), half);
    }
  }
  return x;
}

// Rows x Panels of the result, kept in registers over the whole of k.
template <int Rows, int Panels>
void tile(const GemmArgs& g, size_t row, size_t panel) noexcept {
  Vec acc[Rows][Panels];
  for (int p = 0; p < Panels; ++p) {
    const Vec start =
        g.bias == nullptr ? set1(0.0f) : load(g.bias + (panel + static_cast<size_t>(p)) * kWidth);
    for (int r = 0; r < Rows; ++r) acc[r][p] = start;
  }
  const float* a = g.a + row * g.a_stride;
  const float* b = g.b + panel * g.k * kWidth;
  const size_t panel_floats = g.k * kWidth;
  for (size_t k = 0; k < g.k; ++k) {
    Vec column[Panels];
    for (int p = 0; p < Panels; ++p) column[p] = load(b + static_cast<size_t>(p) * panel_floats + k * kWidth);
    for (int r = 0; r < Rows; ++r) {
      const Vec value = set1(a[static_cast<size_t>(r) * g.a_stride + k]);
      for (int p = 0; p < Panels; ++p) acc[r][p] = fma(value, column[p], acc[r][p]);
    }
  }
  for (int r = 0; r < Rows; ++r) {
    for (int p = 0; p < Panels; ++p) {
      float* c = g.c + (row + static_cast<size_t>(r)) * g.c_stride + (panel + static_cast<size_t>(p)) * kWidth;
      store(c, g.accumulate ? add(load(c), acc[r][p]) : activate(acc[r][p], g.activation));
    }
  }
}

// tile<rows, Panels> for a row count known only at run time, 1 <= rows <= Rows.
template <int Rows, int Panels>
void tile_rows(const GemmArgs& g, size_t rows, size_t row, size_t panel) noexcept {
  if constexpr (Rows > 1) {
    if (rows < static_cast<size_t>(Rows)) return tile_rows<Rows - 1, Panels>(g, rows, row, panel);
  }
  tile<Rows, Panels>(g, row, panel);
}

// All rows of one group of panels, in tiles of nearly equal height: 64 rows at 12 a tile are 4 x 11 + 2 x 10.
template <int Panels>
void panel_group(const GemmArgs& g, size_t panel) noexcept {
  const size_t tiles = (g.rows + kTileRows - 1) / kTileRows;
  size_t row = 0;
  for (size_t i = 0; i < tiles; ++i) {
    const size_t rows = g.rows / tiles + (i < g.rows % tiles ? 1 : 0);
    tile_rows<kTileRows, Panels>(g, rows, row, panel);
    row += rows;
  }
}

void gemm(const GemmArgs& g) noexcept {
  if (g.rows == 0) return;
  size_t panel = 0;
  if (g.rows == 1) {  // a single row: more panels at once, to hide the latency of the adds
    for (; panel + 8 <= g.panels; panel += 8) tile<1, 8>(g, 0, panel);
  }
  for (; panel + 2 <= g.panels; panel += 2) panel_group<2>(g, panel);
  if (panel < g.panels) panel_group<1>(g, panel);
}

inline float lane_sum(Vec x) {
  float lanes[kWidth];
  store(lanes, x);
  float sum = 0;
  for (size_t i = 0; i < kWidth; ++i) sum += lanes[i];
  return sum;
}

void layer_norm(const NormArgs& g) noexcept {
  const float inverse_dim = 1.0f / static_cast<float>(g.dim);
  for (size_t r = 0; r < g.rows; ++r) {
    const float* x = g.x + r * g.dim;
    float* y = g.y + r * g.dim;
    Vec sum = set1(0.0f);
    for (size_t i = 0; i < g.dim; i += kWidth) sum = add(sum, load(x + i));
    const Vec mean = set1(lane_sum(sum) * inverse_dim);
    Vec squares = set1(0.0f);
    for (size_t i = 0; i < g.dim; i += kWidth) {
      const Vec d = sub(load(x + i), mean);
      squares = fma(d, d, squares);
    }
    const Vec inverse = set1(1.0f / __builtin_sqrtf(lane_sum(squares) * inverse_dim + 1e-5f));
    for (size_t i = 0; i < g.dim; i += kWidth) {
      store(y + i, fma(mul(sub(load(x + i), mean), inverse), load(g.gain + i), load(g.shift + i)));
    }
  }
}

void softmax(const SoftmaxArgs& g) noexcept {
  for (size_t r = 0; r < g.rows; ++r) {
    float* x = g.x + r * g.stride;
    const size_t end = (g.n + kWidth - 1) / kWidth * kWidth;
    for (size_t i = g.n; i < end; ++i) x[i] = -3.0e38f;  // exp makes this 1e-38, which adds nothing to a sum >= 1
    Vec top = load(x);
    for (size_t i = kWidth; i < end; i += kWidth) top = vmax(top, load(x + i));
    float lanes[kWidth];
    store(lanes, top);
    float largest = lanes[0];
    for (size_t i = 1; i < kWidth; ++i) largest = lanes[i] > largest ? lanes[i] : largest;
    const Vec offset = set1(largest);
    const Vec scale = set1(g.scale);
    Vec sum = set1(0.0f);
    for (size_t i = 0; i < end; i += kWidth) {
      const Vec e = vexp(mul(sub(load(x + i), offset), scale));
      store(x + i, e);
      sum = add(sum, e);
    }
    const Vec inverse = set1(1.0f / lane_sum(sum));
    for (size_t i = 0; i < end; i += kWidth) store(x + i, mul(load(x + i), inverse));
  }
}
