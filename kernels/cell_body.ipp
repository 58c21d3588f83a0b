// The integer loops of pooling, written once. Included after the including file has defined, in its anonymous
// namespace:
//   difference_sum(a, b, bytes): the sum of |a[i] - b[i]|
//   ChannelSums with add(p, bytes) and finish(sums): the sums of bytes at i % 3 == 0, 1, 2

void cell_sums(const CellArgs& g) noexcept {
  ChannelSums channels;
  uint64_t differences = 0;
  for (size_t r = 0; r < g.rows; ++r) {
    const uint8_t* row = g.top + r * g.stride_bytes;
    channels.add(row, g.row_bytes);
    differences += difference_sum(row, row + 3, g.right_edge ? g.row_bytes - 3 : g.row_bytes);
    if (r + 1 < g.rows || !g.bottom_edge) differences += difference_sum(row, row + g.stride_bytes, g.row_bytes);
  }
  channels.finish(g.sums);
  g.sums[3] += differences;
}
