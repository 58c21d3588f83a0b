// write_png: an RGB picture to a PNG file, for people to look at.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "actors/robot/world.hpp"

namespace drover::robot {

inline void put_be32(std::vector<uint8_t>& out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<uint8_t>(value >> shift & 255));
}

inline void put_png_chunk(std::vector<uint8_t>& out, const std::string& type, const std::vector<uint8_t>& body) {
  put_be32(out, static_cast<uint32_t>(body.size()));
  const size_t start = out.size();
  out.insert(out.end(), type.begin(), type.end());
  out.insert(out.end(), body.begin(), body.end());
  put_be32(out, static_cast<uint32_t>(crc32(0, out.data() + start, static_cast<uInt>(out.size() - start))));
}

// False when the file cannot be written.
inline bool write_png(const std::string& path, const Image& image) {
  std::vector<uint8_t> rows, packed, head, out = {0x89, 'P', 'N', 'G', 13, 10, 26, 10};
  const size_t row = size_t{3} * image.width;
  for (size_t y = 0; y < image.height; ++y) {
    rows.push_back(0);  // no filter
    rows.insert(rows.end(), image.rgb.begin() + static_cast<ptrdiff_t>(y * row),
                image.rgb.begin() + static_cast<ptrdiff_t>((y + 1) * row));
  }
  uLongf size = compressBound(static_cast<uLong>(rows.size()));
  packed.resize(size);
  if (compress2(packed.data(), &size, rows.data(), static_cast<uLong>(rows.size()), 6) != Z_OK) return false;
  packed.resize(size);
  put_be32(head, image.width);
  put_be32(head, image.height);
  head.insert(head.end(), {8, 2, 0, 0, 0});  // 8 bits, RGB
  put_png_chunk(out, "IHDR", head);
  put_png_chunk(out, "IDAT", packed);
  put_png_chunk(out, "IEND", {});
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) return false;
  const bool whole = std::fwrite(out.data(), 1, out.size(), file) == out.size();
  return std::fclose(file) == 0 && whole;
}

}  // namespace drover::robot
