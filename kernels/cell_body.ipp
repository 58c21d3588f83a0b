// The integer loops of pooling, written once. Included after the including file has defined, in its anonymous
// namespace:
//   DifferenceSum with add(a, b, bytes) and finish(): the sum of |a[i] - b[i]|
//   ChannelSums with add(p, bytes) and finish(sums): the sums of bytes at i % 3 == 0, 1, 2

void cell_sums(const CellArgs& g) noexcept {
  ChannelSums channels;
  DifferenceSum differences;
  for (size_t r = 0; r < g.rows; ++r) {
    const uint8_t* row = g.top + r * g.stride_bytes;
    channels.add(row, g.row_bytes);
    differences.add(row, row + 3, g.right_edge ? g.row_bytes - 3 : g.row_bytes);
    if (r + 1 < g.rows || !g.bottom_edge) differences.add(row, row + g.stride_bytes, g.row_bytes);
  }
  channels.finish(g.sums);
  g.sums[3] += differences.finish();
}
