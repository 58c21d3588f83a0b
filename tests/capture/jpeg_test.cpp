// The JPEG coder: close to the picture, the same bytes for the same pixels, and unmoved by damage.
#include "actors/capture/jpeg.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/capture/support.hpp"

namespace drover::capture::test {
namespace {

constexpr uint64_t seed = 77;

RgbImage gradient(uint32_t width, uint32_t height) {
  RgbImage out{width, height, {}};
  for (uint32_t y = 0; y < height; ++y)
    for (uint32_t x = 0; x < width; ++x)
      for (const uint32_t v : {255 * x / width, 255 * y / height, 128u}) out.rgb.push_back(static_cast<uint8_t>(v));
  return out;
}

std::string coded(const RgbImage& picture, int quality) {
  JpegEncoder encoder;
  const auto jpeg = encoder.encode(picture.rgb, picture.width, picture.height, quality);
  REQUIRE(jpeg);
  return std::string(as_text(*jpeg));
}

}  // namespace

TEST_CASE("capture/jpeg: a picture comes back nearly as it was") {
  for (const int quality : {60, 85, 95}) {
    const RgbImage picture = gradient(131, 77);
    const std::string jpeg = coded(picture, quality);
    CHECK(jpeg == coded(picture, quality));
    CHECK(jpeg.starts_with("\xFF\xD8\xFF"));
    JpegDecoder decoder;
    RgbImage back;
    REQUIRE(decoder.decode(as_bytes(jpeg), back));
    CHECK(back.width == 131);
    CHECK(back.height == 77);
    double sum = 0;
    for (size_t i = 0; i < picture.rgb.size(); ++i) sum += std::abs(int{picture.rgb[i]} - int{back.rgb[i]});
    CHECK(sum / static_cast<double>(picture.rgb.size()) < 4);
  }
}

TEST_CASE("capture/jpeg: sizes and quality are checked") {
  JpegEncoder encoder;
  const std::vector<uint8_t> rgb(12);
  CHECK(encoder.encode(rgb, 2, 2, 85).has_value());
  CHECK(encoder.encode(rgb, 2, 3, 85).error().code == Errc::invalid_argument);
  CHECK(encoder.encode(rgb, 0, 2, 85).error().code == Errc::invalid_argument);
  CHECK(encoder.encode(rgb, 2, 2, 0).error().code == Errc::invalid_argument);
  CHECK(encoder.encode(rgb, 2, 2, 101).error().code == Errc::invalid_argument);
  JpegDecoder decoder;
  RgbImage back;
  const std::string jpeg = coded(gradient(64, 8), 85);
  CHECK(decoder.decode(as_bytes(jpeg), back, 63).error().code == Errc::too_large);
  CHECK(decoder.decode({}, back).error().code == Errc::corrupt);
  CHECK(decoder.decode(as_bytes("no picture"), back).error().code == Errc::corrupt);
}

TEST_CASE("capture/jpeg: a picture that ends early is an error at every cut") {
  const std::string jpeg = coded(gradient(48, 48), 85);
  JpegDecoder decoder;
  RgbImage back;
  for (size_t at = 0; at + 2 < jpeg.size(); ++at) {
    CAPTURE(at);
    const auto status = decoder.decode(as_bytes(std::string_view(jpeg).substr(0, at)), back);
    REQUIRE(!status);
  }
  const Status whole = decoder.decode(as_bytes(jpeg), back);
  CHECK_MESSAGE(whole.has_value(), (whole ? "" : whole.error().message()));  // the decoder still works
}

TEST_CASE("capture/jpeg: flipped bits never crash") {
  MESSAGE("seed " << seed);
  uint64_t state = seed;
  const std::string jpeg = coded(gradient(48, 48), 85);
  JpegDecoder decoder;
  RgbImage back;
  size_t refused = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string flipped = jpeg;
    for (int k = 0; k < 3; ++k) {
      const auto at = static_cast<size_t>(random_below(state, flipped.size()));
      flipped[at] = static_cast<char>(flipped[at] ^ (1 << random_below(state, 8)));
    }
    refused += decoder.decode(as_bytes(flipped), back, 256) ? 0 : 1;
  }
  CHECK(refused > 500);
}

}  // namespace drover::capture::test
