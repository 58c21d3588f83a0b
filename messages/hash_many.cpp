#include "messages/hash_many.hpp"

#include "messages/check.hpp"

#ifdef DROVER_IPSEC_MB
#include <intel-ipsec-mb.h>

#include <memory>
#endif

namespace drover {
namespace {

void one_by_one(std::span<const ByteView> inputs, std::span<Hash> hashes) {
  for (size_t i = 0; i < inputs.size(); ++i) hashes[i] = sha256(inputs[i]);
}

#ifdef DROVER_IPSEC_MB
struct Manager {
  std::unique_ptr<IMB_MGR, void (*)(IMB_MGR*)> value{alloc_mb_mgr(0), free_mb_mgr};
  IMB_ARCH arch = IMB_ARCH_NONE;
  Manager() {
    if (value) init_mb_mgr_auto(value.get(), &arch);
    // Only where it is faster than OpenSSL: several AVX lanes, or two streams through the SHA units.
    usable = value && (arch == IMB_ARCH_AVX512 || arch == IMB_ARCH_AVX2) && imb_get_errno(value.get()) == 0;
  }
  bool usable = false;
};

Manager& manager() {
  thread_local Manager of_thread;
  return of_thread;
}

// Every job that was submitted comes back before this returns; a job that failed fails the check.
void side_by_side(IMB_MGR* m, std::span<const ByteView> inputs, std::span<Hash> hashes) {
  size_t done = 0;
  const auto take = [&](const IMB_JOB* job) {
    DROVER_CHECK(job->status == IMB_STATUS_COMPLETED, "the multi-buffer library refused a SHA-256 job");
    ++done;
  };
  for (size_t i = 0; i < inputs.size(); ++i) {
    IMB_JOB* job = IMB_GET_NEXT_JOB(m);
    *job = IMB_JOB{};
    job->cipher_mode = IMB_CIPHER_NULL;
    job->cipher_direction = IMB_DIR_ENCRYPT;
    job->chain_order = IMB_ORDER_HASH_CIPHER;
    job->hash_alg = IMB_AUTH_SHA_256;
    job->src = reinterpret_cast<const uint8_t*>(inputs[i].data());
    job->msg_len_to_hash_in_bytes = inputs[i].size();
    job->auth_tag_output = reinterpret_cast<uint8_t*>(hashes[i].data());
    job->auth_tag_output_len_in_bytes = sizeof(Hash);
    for (const IMB_JOB* back = IMB_SUBMIT_JOB(m); back != nullptr; back = IMB_GET_COMPLETED_JOB(m)) take(back);
  }
  while (const IMB_JOB* back = IMB_FLUSH_JOB(m)) take(back);
  DROVER_CHECK(done == inputs.size(), "the multi-buffer library lost a SHA-256 job");
}
#endif

}  // namespace

void sha256_many(std::span<const ByteView> inputs, std::span<Hash> hashes) {
  DROVER_CHECK(inputs.size() == hashes.size(), "one digest for each input");
#ifdef DROVER_IPSEC_MB
  // Few are not worth it, and the library takes no empty input.
  bool eligible = inputs.size() >= 4;
  for (const ByteView& input : inputs) eligible = eligible && !input.empty();
  if (eligible && manager().usable) return side_by_side(manager().value.get(), inputs, hashes);
#endif
  one_by_one(inputs, hashes);
}

std::string sha256_many_backend() {
#ifdef DROVER_IPSEC_MB
  if (manager().usable) return manager().arch == IMB_ARCH_AVX512 ? "multi-buffer AVX512" : "multi-buffer AVX2";
#endif
  return "one by one";
}

}  // namespace drover
