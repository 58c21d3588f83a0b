// Videos: what was encoded decodes again, picture by picture, at its times.
#include "nodes/video/video.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <iterator>

#include "tests/sync/temp_folder.hpp"

namespace drover::video {
namespace {

constexpr uint32_t width = 48, height = 32;

// Smooth, and different in each frame.
capture::RgbImage picture(int k) {
  capture::RgbImage out{width, height, {}};
  for (uint32_t y = 0; y < height; ++y)
    for (uint32_t x = 0; x < width; ++x) {
      const auto level = [&](double phase) {
        return static_cast<uint8_t>(128 + 100 * std::sin(0.1 * x + 0.07 * y + 0.2 * k + phase));
      };
      for (const double phase : {0.0, 0.7, 1.4}) out.rgb.push_back(level(phase));
    }
  return out;
}

double mean_difference(const capture::RgbImage& small, const capture::RgbImage& large, uint32_t scale) {
  double sum = 0;
  for (uint32_t y = 0; y < large.height; ++y)
    for (uint32_t x = 0; x < large.width; ++x)
      for (uint32_t c = 0; c < 3; ++c)
        sum += std::abs(int{small.rgb[3 * (y / scale * small.width + x / scale) + c]} -
                        int{large.rgb[3 * (y * large.width + x) + c]});
  return sum / static_cast<double>(large.rgb.size());
}

std::string write(const std::string& path) {
  auto writer = VideoWriter::create(path, {.width = width, .height = height, .scale = 2, .rate_hz = 25, .quality = 12});
  REQUIRE_MESSAGE(writer, (writer ? "" : writer.error().message()));
  for (int k = 0; k < 60; ++k) REQUIRE((*writer)->add(k < 30 ? 0.04 * k : 0.04 * k + 1, picture(k)));  // with a gap
  REQUIRE((*writer)->finish());
  CHECK((*writer)->frames() == 60);
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

}  // namespace

TEST_CASE("video: what was encoded decodes again, at its times") {
  const test::TempFolder folder;
  write(folder / "a.mp4");
  auto reader = VideoReader::open(folder / "a.mp4");
  REQUIRE(reader);
  CHECK((*reader)->codec() == "h264");
  double time_s = 0;
  capture::RgbImage got;
  int count = 0;
  for (;; ++count) {
    const auto more = (*reader)->next(time_s, got);
    REQUIRE(more);
    if (!*more) break;
    CHECK(got.width == 2 * width);
    CHECK(got.height == 2 * height);
    CHECK(time_s == doctest::Approx(count < 30 ? 0.04 * count : 0.04 * count + 1).epsilon(0.001));
    CHECK(mean_difference(picture(count), got, 2) < 6);
    CHECK(mean_difference(picture(count + 12), got, 2) > 20);  // and not just any picture
  }
  CHECK(count == 60);
}

TEST_CASE("video: equal pictures give equal bytes") {
  const test::TempFolder folder;
  CHECK(write(folder / "a.mp4") == write(folder / "b.mp4"));
}

TEST_CASE("video: nothing half appears, nothing is written over") {
  const test::TempFolder folder;
  {
    auto writer = VideoWriter::create(folder / "a.mp4", {.width = width, .height = height});
    REQUIRE(writer);
    REQUIRE((*writer)->add(0, picture(0)));
    CHECK((*writer)->add(0, picture(1)).error().code == Errc::invalid_argument);
    CHECK((*writer)->add(1, {2, 2, std::vector<uint8_t>(12)}).error().code == Errc::invalid_argument);
  }
  CHECK(std::filesystem::is_empty(folder / ""));
  write(folder / "a.mp4");
  CHECK(VideoWriter::create(folder / "a.mp4", {.width = width, .height = height}).error().code == Errc::already_exists);
  CHECK(VideoWriter::create(folder / "c.mp4", {.width = 0, .height = 1}).error().code == Errc::invalid_argument);
  CHECK(VideoReader::open(folder / "none.mp4").error().code == Errc::not_found);
}

}  // namespace drover::video
