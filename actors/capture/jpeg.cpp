#include "actors/capture/jpeg.hpp"

#include <turbojpeg.h>

#include <string>

namespace drover::capture {
namespace {

struct Close {
  void operator()(void* coder) const { tjDestroy(coder); }
};
using Coder = std::unique_ptr<void, Close>;

constexpr int full_colour_quality = 90;

}  // namespace

struct JpegEncoder::Impl {
  Coder coder{tjInitCompress()};
  std::vector<unsigned char> out;
};

JpegEncoder::JpegEncoder() : impl_(std::make_unique<Impl>()) {}
JpegEncoder::~JpegEncoder() = default;

Result<ByteView> JpegEncoder::encode(std::span<const uint8_t> rgb, uint32_t width, uint32_t height, int quality) {
  if (width == 0 || height == 0 || width > jpeg_pixels_max || height > jpeg_pixels_max)
    return fail(Errc::invalid_argument, "jpeg", "a side is 0 or over 8192 pixels");
  if (rgb.size() != size_t{3} * width * height || quality < 1 || quality > 100)
    return fail(Errc::invalid_argument, "jpeg", "pixels do not fit the size, or quality is not 1..100");
  if (!impl_->coder) return fail(Errc::internal, "jpeg", "the coder could not be made");
  const int colour = quality >= full_colour_quality ? TJSAMP_444 : TJSAMP_420;
  const int w = static_cast<int>(width), h = static_cast<int>(height);
  impl_->out.resize(tjBufSize(w, h, colour));
  unsigned char* out = impl_->out.data();
  unsigned long size = impl_->out.size();
  const int bad = tjCompress2(impl_->coder.get(), rgb.data(), w, 0, h, TJPF_RGB, &out, &size, colour, quality,
                              TJFLAG_NOREALLOC | TJFLAG_ACCURATEDCT);
  if (bad != 0) return fail(Errc::internal, "jpeg", tjGetErrorStr2(impl_->coder.get()));
  return ByteView(reinterpret_cast<const std::byte*>(out), size);
}

struct JpegDecoder::Impl {
  Coder coder{tjInitDecompress()};
  // libjpeg-turbo 2.1 keeps its place in a head that it could not read, and would go on there with the next picture.
  tl::unexpected<Error> refuse() {
    auto error = fail(Errc::corrupt, "jpeg", tjGetErrorStr2(coder.get()));
    coder.reset(tjInitDecompress());
    return error;
  }
};

JpegDecoder::JpegDecoder() : impl_(std::make_unique<Impl>()) {}
JpegDecoder::~JpegDecoder() = default;

Status JpegDecoder::decode(ByteView jpeg, RgbImage& out, uint32_t pixels_max) {
  if (!impl_->coder) return fail(Errc::internal, "jpeg", "the coder could not be made");
  void* coder = impl_->coder.get();
  const auto* data = reinterpret_cast<const unsigned char*>(jpeg.data());
  int w = 0, h = 0, sampling = 0, colours = 0;
  if (tjDecompressHeader3(coder, data, jpeg.size(), &w, &h, &sampling, &colours) != 0 || w <= 0 || h <= 0)
    return impl_->refuse();
  if (static_cast<uint32_t>(w) > pixels_max || static_cast<uint32_t>(h) > pixels_max)
    return fail(Errc::too_large, "jpeg", std::to_string(w) + " x " + std::to_string(h) + " pixels");
  out.width = static_cast<uint32_t>(w);
  out.height = static_cast<uint32_t>(h);
  out.rgb.resize(size_t{3} * out.width * out.height);
  // Every warning counts: a picture that ends early or holds damage is not passed on half grey. Few scans only: a
  // progressive picture of a thousand scans would keep the decoder busy for minutes.
  const int flags = TJFLAG_STOPONWARNING | TJFLAG_LIMITSCANS | TJFLAG_ACCURATEDCT;
  if (tjDecompress2(coder, data, jpeg.size(), out.rgb.data(), w, 0, h, TJPF_RGB, flags) != 0) return impl_->refuse();
  return {};
}

}  // namespace drover::capture
