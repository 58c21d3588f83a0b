// The weight file, byte by byte: see WEIGHTS.md. Little-endian, fixed-size entries, arrays at 64-byte boundaries.
#include "kernels/weights.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <set>

#include "messages/hash.hpp"

namespace drover::kernels {
namespace {

static_assert(std::endian::native == std::endian::little, "the file is little-endian and read by memcpy");

constexpr char magic[8] = {'D', 'R', 'V', 'W', 'G', 'H', 'T', '\n'};
constexpr uint32_t version = 1;
constexpr uint32_t dtype_float32 = 1;
constexpr size_t alignment = 64;

struct Header {
  char magic[8];
  uint32_t version;
  uint32_t architecture;
  uint32_t trained;
  uint32_t params;
  uint32_t tensors;
  uint32_t reserved;
  uint64_t file_bytes;
  uint64_t seed;
  char note[64];
  uint64_t directory_checksum;
  uint64_t header_checksum;  // of the bytes before it
};
static_assert(sizeof(Header) == 128);

struct ParamEntry {
  char name[24];
  uint64_t value;
};
static_assert(sizeof(ParamEntry) == 32);

struct TensorEntry {
  char name[48];
  uint32_t dtype;
  uint32_t rank;
  uint32_t dims[4];  // unused ones are 0
  uint64_t offset;
  uint64_t bytes;
  uint64_t checksum;
};
static_assert(sizeof(TensorEntry) == 96);

constexpr size_t align(size_t offset) {
  return (offset + alignment - 1) / alignment * alignment;
}

template <class T>
ByteView bytes_of(const T& value) {
  return {reinterpret_cast<const std::byte*>(&value), sizeof(T)};
}

bool name_valid(std::string_view name, size_t max) {
  return !name.empty() && name.size() <= max && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
  });
}
bool note_valid(std::string_view note) {
  return note.size() <= weights_note_max &&
         std::all_of(note.begin(), note.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

// The text before the first NUL; nothing when there is no NUL or something other than NUL after it.
template <size_t N>
bool take_text(const char (&field)[N], std::string& out) {
  const auto* end = static_cast<const char*>(std::memchr(field, 0, N));
  if (end == nullptr) return false;
  if (!std::all_of(end, field + N, [](char c) { return c == 0; })) return false;
  out.assign(field, end);
  return true;
}
template <size_t N>
void put_text(char (&field)[N], const std::string& text) {
  std::memset(field, 0, N);
  std::memcpy(field, text.data(), text.size());
}

// Product of the dimensions, or 0 when rank, a dimension or the product is over its limit.
size_t value_count(const uint32_t* dims, size_t rank) {
  if (rank == 0 || rank > weights_rank_max) return 0;
  size_t count = 1;
  for (size_t i = 0; i < rank; ++i) {
    if (dims[i] == 0 || dims[i] > weights_dim_max) return 0;
    count *= dims[i];
    if (count > weights_values_max) return 0;
  }
  return count;
}

bool all_finite(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); });
}

Status check_tensor(const Tensor& t) {
  const std::string where = "weights.tensor." + t.name;
  if (!name_valid(t.name, weights_tensor_name_max)) return fail(Errc::invalid_argument, where, "bad name");
  const size_t count = value_count(t.shape.data(), t.shape.size());
  if (count == 0) return fail(Errc::too_large, where, "rank, dimension or size is out of range");
  if (count != t.values.size()) return fail(Errc::invalid_argument, where, "values do not fill the shape");
  if (!all_finite(t.values)) return fail(Errc::invalid_argument, where, "a value is not finite");
  return {};
}

Status check(const Weights& w) {
  if (!note_valid(w.note)) return fail(Errc::invalid_argument, "weights.note", "not up to 63 printable characters");
  if (w.architecture != Architecture::mlp_policy && w.architecture != Architecture::vit_encoder) {
    return fail(Errc::invalid_argument, "weights.architecture", "unknown");
  }
  if (w.params.size() > weights_params_max || w.tensors.size() > weights_tensors_max) {
    return fail(Errc::too_large, "weights", "too many parameters or arrays");
  }
  std::set<std::string_view> names;
  for (const Param& p : w.params) {
    if (!name_valid(p.name, weights_param_name_max)) return fail(Errc::invalid_argument, "weights.param", "bad name");
    if (!names.insert(p.name).second) return fail(Errc::invalid_argument, "weights.param." + p.name, "named twice");
  }
  names.clear();
  size_t total = 0;
  for (const Tensor& t : w.tensors) {
    DROVER_TRY(check_tensor(t));
    if (!names.insert(t.name).second) return fail(Errc::invalid_argument, "weights.tensor." + t.name, "named twice");
    total += t.values.size();
  }
  if (total > weights_values_max) return fail(Errc::too_large, "weights", "more values than a file may hold");
  return {};
}

struct Directory {
  Header header;
  std::vector<ParamEntry> params;
  std::vector<TensorEntry> tensors;
  size_t end = 0;  // first byte after the directory
};

Result<Header> decode_header(ByteView bytes) {
  Header h;
  if (bytes.size() < sizeof h) return fail(Errc::truncated, "weights.header", "shorter than a header");
  std::memcpy(&h, bytes.data(), sizeof h);
  if (std::memcmp(h.magic, magic, sizeof magic) != 0) return fail(Errc::corrupt, "weights.magic", "not a weight file");
  if (h.version != version) {
    return fail(Errc::unsupported_version, "weights.version",
                "version " + std::to_string(h.version) + ", this build reads 1");
  }
  if (checksum64(bytes.first(offsetof(Header, header_checksum))) != h.header_checksum) {
    return fail(Errc::corrupt, "weights.header", "checksum mismatch");
  }
  // From here on the header is what some writer wrote, but perhaps a hostile one.
  if (h.params > weights_params_max || h.tensors > weights_tensors_max) {
    return fail(Errc::too_large, "weights.header", "too many parameters or arrays");
  }
  if (h.reserved != 0 || h.trained > 1) return fail(Errc::corrupt, "weights.header", "a field is out of range");
  if (bytes.size() < h.file_bytes) return fail(Errc::truncated, "weights", "ends before its stated size");
  if (bytes.size() > h.file_bytes) return fail(Errc::corrupt, "weights", "bytes after the stated end");
  return h;
}

Result<Directory> decode_directory(ByteView bytes) {
  Directory d;
  DROVER_ASSIGN(d.header, decode_header(bytes));
  const size_t params_bytes = d.header.params * sizeof(ParamEntry);
  const size_t tensors_bytes = d.header.tensors * sizeof(TensorEntry);
  d.end = sizeof(Header) + params_bytes + tensors_bytes;
  if (bytes.size() < d.end) return fail(Errc::truncated, "weights.directory", "ends inside the directory");
  const ByteView entries = bytes.subspan(sizeof(Header), params_bytes + tensors_bytes);
  if (checksum64(entries) != d.header.directory_checksum) {
    return fail(Errc::corrupt, "weights.directory", "checksum mismatch");
  }
  d.params.resize(d.header.params);
  d.tensors.resize(d.header.tensors);
  if (params_bytes > 0) std::memcpy(d.params.data(), entries.data(), params_bytes);
  if (tensors_bytes > 0) std::memcpy(d.tensors.data(), entries.data() + params_bytes, tensors_bytes);
  return d;
}

// The array of one entry, which must begin at the next boundary after `end`; moves `end` past it.
Result<Tensor> decode_tensor(ByteView bytes, const TensorEntry& e, size_t& end) {
  Tensor t;
  if (!take_text(e.name, t.name)) return fail(Errc::corrupt, "weights.tensor", "bad name");
  const std::string where = "weights.tensor." + t.name;
  if (e.dtype != dtype_float32) return fail(Errc::unsupported_version, where, "unknown value type");
  const size_t count = value_count(e.dims, e.rank);
  if (count == 0) return fail(Errc::too_large, where, "rank, dimension or size is out of range");
  if (!std::all_of(e.dims + e.rank, e.dims + weights_rank_max, [](uint32_t d) { return d == 0; })) {
    return fail(Errc::corrupt, where, "an unused dimension is not zero");
  }
  if (e.bytes != count * sizeof(float) || e.offset != align(end)) return fail(Errc::corrupt, where, "misplaced");
  if (e.offset > bytes.size() || bytes.size() - e.offset < e.bytes) return fail(Errc::truncated, where, "ends early");
  const ByteView padding = bytes.subspan(end, e.offset - end);
  if (!std::all_of(padding.begin(), padding.end(), [](std::byte b) { return b == std::byte{0}; })) {
    return fail(Errc::corrupt, where, "padding before it is not zero");
  }
  const ByteView data = bytes.subspan(e.offset, e.bytes);
  if (checksum64(data) != e.checksum) return fail(Errc::corrupt, where, "checksum mismatch");
  t.shape.assign(e.dims, e.dims + e.rank);
  t.values.resize(count);
  std::memcpy(t.values.data(), data.data(), e.bytes);
  end = e.offset + e.bytes;
  return t;
}

}  // namespace

const Tensor* Weights::tensor(std::string_view name) const noexcept {
  const auto found = std::find_if(tensors.begin(), tensors.end(), [&](const Tensor& t) { return t.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

Result<uint32_t> Weights::param(std::string_view name, uint32_t max) const {
  const auto found = std::find_if(params.begin(), params.end(), [&](const Param& p) { return p.name == name; });
  const std::string where = "weights.param." + std::string(name);
  if (found == params.end()) return fail(Errc::not_found, where, "missing");
  if (found->value > max)
    return fail(Errc::too_large, where, std::to_string(found->value) + " is over " + std::to_string(max));
  return static_cast<uint32_t>(found->value);
}

Result<const Tensor*> Weights::tensor_of(std::string_view name, const std::vector<uint32_t>& shape) const {
  const Tensor* found = tensor(name);
  const std::string where = "weights.tensor." + std::string(name);
  if (found == nullptr) return fail(Errc::not_found, where, "missing");
  const size_t count = value_count(shape.data(), shape.size());
  if (found->shape != shape || found->values.size() != count) {
    return fail(Errc::invalid_argument, where, "not of the shape that the parameters ask for");
  }
  return found;
}

Result<std::vector<std::byte>> encode_weights(const Weights& weights) {
  DROVER_TRY(check(weights));
  Header h{};
  std::memcpy(h.magic, magic, sizeof magic);
  h.version = version;
  h.architecture = static_cast<uint32_t>(weights.architecture);
  h.trained = weights.trained ? 1 : 0;
  h.params = static_cast<uint32_t>(weights.params.size());
  h.tensors = static_cast<uint32_t>(weights.tensors.size());
  h.seed = weights.seed;
  put_text(h.note, weights.note);

  const size_t tensors_at = sizeof(Header) + weights.params.size() * sizeof(ParamEntry);
  size_t end = tensors_at + weights.tensors.size() * sizeof(TensorEntry);
  const size_t directory_end = end;
  for (const Tensor& t : weights.tensors) end = align(end) + t.values.size() * sizeof(float);
  std::vector<std::byte> out(end);

  for (size_t i = 0; i < weights.params.size(); ++i) {
    ParamEntry entry{};
    put_text(entry.name, weights.params[i].name);
    entry.value = weights.params[i].value;
    std::memcpy(out.data() + sizeof(Header) + i * sizeof entry, &entry, sizeof entry);
  }
  end = directory_end;
  for (size_t i = 0; i < weights.tensors.size(); ++i) {
    const Tensor& t = weights.tensors[i];
    TensorEntry entry{};
    put_text(entry.name, t.name);
    entry.dtype = dtype_float32;
    entry.rank = static_cast<uint32_t>(t.shape.size());
    std::copy(t.shape.begin(), t.shape.end(), entry.dims);
    entry.offset = align(end);
    entry.bytes = t.values.size() * sizeof(float);
    std::memcpy(out.data() + entry.offset, t.values.data(), entry.bytes);
    entry.checksum = checksum64(ByteView(out).subspan(entry.offset, entry.bytes));
    std::memcpy(out.data() + tensors_at + i * sizeof entry, &entry, sizeof entry);
    end = entry.offset + entry.bytes;
  }
  h.file_bytes = out.size();
  h.directory_checksum = checksum64(ByteView(out).subspan(sizeof(Header), directory_end - sizeof(Header)));
  h.header_checksum = checksum64(bytes_of(h).first(offsetof(Header, header_checksum)));
  std::memcpy(out.data(), &h, sizeof h);
  return out;
}

Result<Weights> decode_weights(ByteView bytes) {
  DROVER_ASSIGN(const Directory d, decode_directory(bytes));
  Weights out;
  out.architecture = static_cast<Architecture>(d.header.architecture);
  out.trained = d.header.trained == 1;
  out.seed = d.header.seed;
  if (!take_text(d.header.note, out.note)) return fail(Errc::corrupt, "weights.note", "not ended by zeros");
  for (const ParamEntry& entry : d.params) {
    Param p{{}, entry.value};
    if (!take_text(entry.name, p.name)) return fail(Errc::corrupt, "weights.param", "bad name");
    out.params.push_back(std::move(p));
  }
  size_t end = d.end;
  for (const TensorEntry& entry : d.tensors) {
    DROVER_ASSIGN(Tensor t, decode_tensor(bytes, entry, end));
    out.tensors.push_back(std::move(t));
  }
  if (end != bytes.size()) return fail(Errc::corrupt, "weights", "bytes after the last array");
  if (auto status = check(out); !status) {
    status.error().code = Errc::corrupt;
    return tl::unexpected(std::move(status).error());
  }
  return out;
}

}  // namespace drover::kernels
