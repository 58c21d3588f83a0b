#include "nodes/video/video.hpp"

#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/imgutils.h>
#include <libavutil/opt.h>
#include <libswscale/swscale.h>
}

namespace drover::video {
namespace {

constexpr int ticks_per_s = 90'000;
constexpr uint32_t side_max = 8192;

struct Free {
  void operator()(AVCodecContext* p) const { avcodec_free_context(&p); }
  void operator()(AVFrame* p) const { av_frame_free(&p); }
  void operator()(AVPacket* p) const { av_packet_free(&p); }
  void operator()(SwsContext* p) const { sws_freeContext(p); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

tl::unexpected<Error> fail_av(const std::string& where, const char* call, int code) {
  char text[AV_ERROR_MAX_STRING_SIZE] = {};
  av_strerror(code, text, sizeof text);
  return fail(Errc::io, where, std::string(call) + ": " + text);
}

// Debian's FFmpeg has libx264; another build may have another H.264 encoder.
const AVCodec* h264_encoder() {
  const AVCodec* codec = avcodec_find_encoder_by_name("libx264");
  return codec != nullptr ? codec : avcodec_find_encoder(AV_CODEC_ID_H264);
}

Status check(const VideoOptions& o) {
  const bool fits = o.scale >= 1 && o.scale <= 16 && o.width >= 2 && o.height >= 2 && o.width <= side_max &&
                    o.height <= side_max && o.width * o.scale <= side_max && o.height * o.scale <= side_max;
  if (!fits) return fail(Errc::invalid_argument, "video", "the size is out of range");
  if (!(o.rate_hz > 0 && o.rate_hz <= 1000) || o.quality < 0 || o.quality > 51)
    return fail(Errc::invalid_argument, "video", "rate or quality is out of range");
  return {};
}

}  // namespace

// ---- writing

struct VideoWriter::State {
  ~State() {
    if (format == nullptr) return;
    if (format->pb != nullptr) avio_closep(&format->pb);
    avformat_free_context(format);
    std::remove(part_path.c_str());
  }
  Status open_encoder(const VideoOptions& options);
  Status open_file();
  Status drain();

  std::string path, part_path;
  AVFormatContext* format = nullptr;
  AVStream* stream = nullptr;
  Owned<AVCodecContext> encoder;
  Owned<AVFrame> frame{av_frame_alloc()};
  Owned<AVPacket> packet{av_packet_alloc()};
  Owned<SwsContext> scaler;
  uint32_t width = 0, height = 0;  // of the pictures
  int64_t last_pts = -1;
  uint64_t frames = 0;
};

Status VideoWriter::State::open_encoder(const VideoOptions& options) {
  const AVCodec* codec = h264_encoder();
  if (codec == nullptr) return fail(Errc::unavailable, "video", "this FFmpeg has no H.264 encoder");
  width = options.width;
  height = options.height;
  encoder.reset(avcodec_alloc_context3(codec));
  encoder->width = static_cast<int>(width * options.scale) & ~1;
  encoder->height = static_cast<int>(height * options.scale) & ~1;
  encoder->pix_fmt = AV_PIX_FMT_YUV420P;
  encoder->time_base = {1, ticks_per_s};
  encoder->framerate = av_d2q(options.rate_hz, 100'000);
  encoder->gop_size = static_cast<int>(std::ceil(2 * options.rate_hz));  // seekable every two seconds
  encoder->thread_count = 1;                                             // the same bytes on every machine
  encoder->flags |= AV_CODEC_FLAG_BITEXACT | AV_CODEC_FLAG_GLOBAL_HEADER;
  encoder->color_range = AVCOL_RANGE_MPEG;
  encoder->colorspace = AVCOL_SPC_SMPTE170M;
  av_opt_set(encoder->priv_data, "preset", "medium", 0);
  av_opt_set_int(encoder->priv_data, "crf", options.quality, 0);
  if (const int bad = avcodec_open2(encoder.get(), codec, nullptr); bad < 0) return fail_av(path, "avcodec_open2", bad);
  frame->format = encoder->pix_fmt;
  frame->width = encoder->width;
  frame->height = encoder->height;
  if (const int bad = av_frame_get_buffer(frame.get(), 0); bad < 0) return fail_av(path, "av_frame_get_buffer", bad);
  // Enlarged pixels stay square: what the robot saw, not what a filter makes of it.
  scaler.reset(sws_getContext(static_cast<int>(width), static_cast<int>(height), AV_PIX_FMT_RGB24, encoder->width,
                              encoder->height, encoder->pix_fmt, SWS_POINT | SWS_ACCURATE_RND, nullptr, nullptr,
                              nullptr));
  return scaler ? Status{} : fail(Errc::internal, "video", "no scaler for this size");
}

Status VideoWriter::State::open_file() {
  if (const int bad = avformat_alloc_output_context2(&format, nullptr, "mp4", part_path.c_str()); bad < 0)
    return fail_av(path, "avformat_alloc_output_context2", bad);
  format->flags |= AVFMT_FLAG_BITEXACT;
  stream = avformat_new_stream(format, nullptr);
  stream->time_base = encoder->time_base;
  stream->avg_frame_rate = encoder->framerate;
  if (const int bad = avcodec_parameters_from_context(stream->codecpar, encoder.get()); bad < 0)
    return fail_av(path, "avcodec_parameters_from_context", bad);
  if (const int bad = avio_open(&format->pb, part_path.c_str(), AVIO_FLAG_WRITE); bad < 0)
    return fail_av(path, "avio_open", bad);
  AVDictionary* options = nullptr;
  av_dict_set(&options, "movflags", "+faststart", 0);  // players start before the file is loaded
  const int bad = avformat_write_header(format, &options);
  av_dict_free(&options);
  return bad < 0 ? fail_av(path, "avformat_write_header", bad) : Status{};
}

Status VideoWriter::State::drain() {
  for (;;) {
    const int got = avcodec_receive_packet(encoder.get(), packet.get());
    if (got == AVERROR(EAGAIN) || got == AVERROR_EOF) return {};
    if (got < 0) return fail_av(path, "avcodec_receive_packet", got);
    av_packet_rescale_ts(packet.get(), encoder->time_base, stream->time_base);
    packet->stream_index = stream->index;
    if (const int bad = av_interleaved_write_frame(format, packet.get()); bad < 0)
      return fail_av(path, "av_interleaved_write_frame", bad);
  }
}

VideoWriter::VideoWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
VideoWriter::~VideoWriter() = default;

Result<std::unique_ptr<VideoWriter>> VideoWriter::create(const std::string& path, const VideoOptions& options) {
  DROVER_TRY(check(options));
  if (::access(path.c_str(), F_OK) == 0) return fail(Errc::already_exists, path, "is there already");
  av_log_set_level(AV_LOG_ERROR);
  auto state = std::make_unique<State>();
  state->path = path;
  state->part_path = path + ".part";
  DROVER_TRY(state->open_encoder(options));
  DROVER_TRY(state->open_file());
  return std::unique_ptr<VideoWriter>(new VideoWriter(std::move(state)));
}

Status VideoWriter::add(double time_s, const capture::RgbImage& picture) {
  State& s = *state_;
  if (picture.width != s.width || picture.height != s.height)
    return fail(Errc::invalid_argument, "video", "a picture has another size than the first");
  const int64_t pts = std::llround(time_s * ticks_per_s);
  if (!std::isfinite(time_s) || pts <= s.last_pts) return fail(Errc::invalid_argument, "video", "times must grow");
  if (const int bad = av_frame_make_writable(s.frame.get()); bad < 0)
    return fail_av(s.path, "av_frame_make_writable", bad);
  const uint8_t* rows[] = {picture.rgb.data()};
  const int strides[] = {static_cast<int>(3 * picture.width)};
  sws_scale(s.scaler.get(), rows, strides, 0, static_cast<int>(s.height), s.frame->data, s.frame->linesize);
  s.frame->pts = s.last_pts = pts;
  if (const int bad = avcodec_send_frame(s.encoder.get(), s.frame.get()); bad < 0)
    return fail_av(s.path, "avcodec_send_frame", bad);
  ++s.frames;
  return s.drain();
}

Status VideoWriter::finish() {
  State& s = *state_;
  if (s.frames == 0) return fail(Errc::invalid_argument, s.path, "a video needs at least one picture");
  if (const int bad = avcodec_send_frame(s.encoder.get(), nullptr); bad < 0)
    return fail_av(s.path, "avcodec_send_frame", bad);
  DROVER_TRY(s.drain());
  if (const int bad = av_write_trailer(s.format); bad < 0) return fail_av(s.path, "av_write_trailer", bad);
  if (const int bad = avio_closep(&s.format->pb); bad < 0) return fail_av(s.path, "avio_close", bad);
  if (::link(s.part_path.c_str(), s.path.c_str()) != 0) return fail(Errc::io, s.path, std::strerror(errno));
  return {};
}

uint64_t VideoWriter::frames() const noexcept {
  return state_->frames;
}

// ---- reading

struct VideoReader::State {
  ~State() { avformat_close_input(&format); }
  AVFormatContext* format = nullptr;
  int stream = -1;
  Owned<AVCodecContext> decoder;
  Owned<AVFrame> frame{av_frame_alloc()};
  Owned<AVPacket> packet{av_packet_alloc()};
  Owned<SwsContext> scaler;
  bool at_end = false;
};

VideoReader::VideoReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
VideoReader::~VideoReader() = default;

Result<std::unique_ptr<VideoReader>> VideoReader::open(const std::string& path) {
  auto state = std::make_unique<State>();
  if (avformat_open_input(&state->format, path.c_str(), nullptr, nullptr) < 0)
    return fail(Errc::not_found, path, "is no video that can be opened");
  if (avformat_find_stream_info(state->format, nullptr) < 0) return fail(Errc::corrupt, path, "has no streams");
  const AVCodec* codec = nullptr;
  state->stream = av_find_best_stream(state->format, AVMEDIA_TYPE_VIDEO, -1, -1, &codec, 0);
  if (state->stream < 0 || codec == nullptr) return fail(Errc::corrupt, path, "has no video stream");
  state->decoder.reset(avcodec_alloc_context3(codec));
  const AVStream* stream = state->format->streams[state->stream];
  if (avcodec_parameters_to_context(state->decoder.get(), stream->codecpar) < 0 ||
      avcodec_open2(state->decoder.get(), codec, nullptr) < 0)
    return fail(Errc::corrupt, path, "cannot be decoded");
  return std::unique_ptr<VideoReader>(new VideoReader(std::move(state)));
}

Result<bool> VideoReader::next(double& time_s, capture::RgbImage& picture) {
  State& s = *state_;
  for (;;) {
    const int got = avcodec_receive_frame(s.decoder.get(), s.frame.get());
    if (got == AVERROR_EOF) return false;
    if (got >= 0) break;
    if (got != AVERROR(EAGAIN)) return fail(Errc::corrupt, "video", "a picture cannot be decoded");
    if (av_read_frame(s.format, s.packet.get()) < 0) {
      avcodec_send_packet(s.decoder.get(), nullptr);
      continue;
    }
    const bool ours = s.packet->stream_index == s.stream;
    const int sent = ours ? avcodec_send_packet(s.decoder.get(), s.packet.get()) : 0;
    av_packet_unref(s.packet.get());
    if (sent < 0) return fail(Errc::corrupt, "video", "a packet cannot be decoded");
  }
  const AVFrame& f = *s.frame;
  s.scaler.reset(sws_getCachedContext(s.scaler.release(), f.width, f.height, static_cast<AVPixelFormat>(f.format),
                                      f.width, f.height, AV_PIX_FMT_RGB24, SWS_POINT, nullptr, nullptr, nullptr));
  if (!s.scaler) return fail(Errc::corrupt, "video", "a picture has an unknown form");
  picture.width = static_cast<uint32_t>(f.width);
  picture.height = static_cast<uint32_t>(f.height);
  picture.rgb.resize(size_t{3} * picture.width * picture.height);
  uint8_t* rows[] = {picture.rgb.data()};
  const int strides[] = {static_cast<int>(3 * picture.width)};
  sws_scale(s.scaler.get(), f.data, f.linesize, 0, f.height, rows, strides);
  time_s = static_cast<double>(f.best_effort_timestamp) * av_q2d(s.format->streams[s.stream]->time_base);
  return true;
}

std::string VideoReader::codec() const {
  return avcodec_get_name(state_->decoder->codec_id);
}

}  // namespace drover::video
