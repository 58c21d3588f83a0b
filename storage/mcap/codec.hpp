// Record bodies to bytes and back. No file, no state; used by the reader and the writer.
//
// Invariants: decode_record never reads outside `body`, and extra bytes after the known fields are ignored, as the
// specification asks (a later version may add fields). encode_record(decode_record(b)) == b when b has no such extra.
#pragma once

#include <array>
#include <string>

#include "storage/mcap/types.hpp"

namespace drover::mcap {

inline constexpr std::array<uint8_t, 8> kMagic = {0x89, 'M', 'C', 'A', 'P', '0', '\r', '\n'};
inline constexpr size_t kFrameBytes = 9;        // opcode and little-endian length
inline constexpr size_t kFooterBodyBytes = 20;  // fixed by the specification

// Decodes one record body. Errors: corrupt (a field runs over the end, or a value the specification forbids).
// Unknown opcodes give UnknownRecord. `opcode` 0 is corrupt.
Result<AnyRecord> decode_record(uint8_t opcode, const Bytes& body);

// Appends the framed record (opcode, length, body). An Attachment's `crc` is written as it stands.
void append_record(std::string& out, const AnyRecord& record);

// CRC-32 (zlib's) of `bytes` continued from `crc`; start with 0.
uint32_t crc32_of(ByteView bytes, uint32_t crc = 0) noexcept;

// The CRC an Attachment must carry: over its body without the CRC itself.
uint32_t attachment_crc(const Attachment& attachment);

// Restores a chunk's records. Errors: unsupported_version (compression not known), too_large (over `bytes_max`),
// corrupt (does not decompress to exactly `uncompressed_bytes`, or the CRC differs and `check_crc`).
Result<Bytes> decompress_chunk(const Chunk& chunk, uint64_t bytes_max, bool check_crc);

// Compresses with the library's default level; the same input gives the same output with the same library version.
Result<std::string> compress(Compression compression, ByteView bytes);

}  // namespace drover::mcap
