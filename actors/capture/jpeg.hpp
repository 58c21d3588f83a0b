// JPEG frames: RGB pictures to JPEG and back (libjpeg-turbo).
//
// Invariants: equal pixels and quality give equal bytes for one version of the library; corrupt input gives an error,
// never a crash, and nothing is allocated before its size was checked. Threads: a coder belongs to one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "messages/bytes.hpp"
#include "messages/result.hpp"

namespace drover::capture {

// 8 bits a channel, row-major, top row first, no padding.
struct RgbImage {
  uint32_t width = 0;
  uint32_t height = 0;
  std::vector<uint8_t> rgb;  // 3 * width * height
};

inline constexpr uint32_t jpeg_pixels_max = 8192;  // of a side

class JpegEncoder {
 public:
  JpegEncoder();
  ~JpegEncoder();
  // `rgb` holds 3 * width * height bytes; quality 1..100; colour is kept at full resolution from 90 on, below at half.
  // Gives a view of a buffer of the encoder that the next call uses again. Errors: invalid_argument, internal.
  Result<ByteView> encode(std::span<const uint8_t> rgb, uint32_t width, uint32_t height, int quality = 85);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

class JpegDecoder {
 public:
  JpegDecoder();
  ~JpegDecoder();
  // Into `out`, whose buffer is used again. Errors: corrupt (also a picture that ends early), too_large (a side over
  // `pixels_max`).
  Status decode(ByteView jpeg, RgbImage& out, uint32_t pixels_max = jpeg_pixels_max);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace drover::capture
