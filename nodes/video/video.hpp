// VideoWriter: RGB pictures to an H.264 video in an MP4 file, and VideoReader to check one.
//
// Invariants: equal pictures, times and options give equal bytes for one version of FFmpeg; the file appears under its
// name when finish() succeeded, and never over one that is there. Threads: one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "actors/capture/jpeg.hpp"
#include "messages/result.hpp"

namespace drover::video {

struct VideoOptions {
  uint32_t width = 0;  // of the pictures; all have the same size
  uint32_t height = 0;
  uint32_t scale = 1;   // whole factor that pictures are enlarged by, 1..16; odd sides lose one pixel
  double rate_hz = 25;  // nominal; the pictures' own times count
  int quality = 20;     // constant rate factor: 0 (lossless) .. 51; 18 looks like the original
};

class VideoWriter {
 public:
  // Errors: invalid_argument, unavailable (this FFmpeg has no H.264 encoder), already_exists, io.
  static Result<std::unique_ptr<VideoWriter>> create(const std::string& path, const VideoOptions& options);
  ~VideoWriter();

  // Times must grow. Errors: invalid_argument (size or time), io.
  Status add(double time_s, const capture::RgbImage& picture);
  Status finish();
  uint64_t frames() const noexcept;

 private:
  struct State;
  explicit VideoWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

class VideoReader {
 public:
  // Errors: not_found, corrupt.
  static Result<std::unique_ptr<VideoReader>> open(const std::string& path);
  ~VideoReader();

  // The next picture, false at the end. Errors: corrupt.
  Result<bool> next(double& time_s, capture::RgbImage& picture);
  std::string codec() const;  // "h264"

 private:
  struct State;
  explicit VideoReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace drover::video
