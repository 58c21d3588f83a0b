// From a recording to the artifacts of a portable datapack.
//
// PortableRecording listens to a recording that is read (capture::read_recording) or hears the same calls from whoever
// has the material. Objects become object tracks, the tool becomes the track `tool` of the robot, of the pictures those
// that the encoder wants are decoded. A picture or pose that cannot be used is left out and counted, so that a damaged
// recording still gives what it has.
// Threads: one per object. Deterministic: the same file gives the same text.
#pragma once

#include <memory>

#include "actors/capture/jpeg.hpp"
#include "actors/capture/recording_reader.hpp"
#include "actors/datapack/portable.hpp"

namespace drover::datapack {

class PortableRecording final : public capture::RecordingVisitor {
 public:
  // Errors: those of PortableBuilder::make.
  static Result<std::unique_ptr<PortableRecording>> make(const PortableOptions& options = {});

  void image(double time_s, const capture::RecordedCamera& camera, const Bytes& jpeg) override;
  void objects(double time_s, std::span<const capture::RecordedFrame> frames) override;
  void sense(double time_s, const capture::RecordedSense& sense) override;

  uint64_t dropped() const noexcept { return dropped_; }  // pictures and poses that were of no use

  // Call once. Errors: those of PortableBuilder::finish.
  Result<PortableArtifacts> finish(double duration_s) { return builder_.finish(duration_s); }

 private:
  explicit PortableRecording(PortableBuilder builder) : builder_(std::move(builder)) {}
  void add(const PoseSample& pose);

  PortableBuilder builder_;
  capture::JpegDecoder decoder_;
  capture::RgbImage picture_;
  uint64_t dropped_ = 0;
};

// The artifacts of a whole recording, or of what is left of one. Those without material are empty.
// Errors: those of capture::read_recording and of the builder.
Result<PortableArtifacts> portable_of_recording(const std::shared_ptr<const mcap::Source>& file,
                                                const PortableOptions& options = {});

// What a reader would miss, in words, for one that asks why there is no portable pack: "no camera frames, no objects".
// Empty for complete artifacts.
std::string missing_material(const PortableArtifacts& artifacts);

}  // namespace drover::datapack
