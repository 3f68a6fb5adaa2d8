#include "chunkserver/writer_windows.h"

namespace cairn::chunkserver {

WriterWindows::WriterWindows(size_t clients_max) : clients_max_(clients_max) {
  CHECK(clients_max_ > 0);
}

WriterWindows::Verdict WriterWindows::look(uint64_t client, uint64_t sequence) const {
  if (client == 0) return Verdict::kNew;
  auto found = windows_.find(client);
  if (found == windows_.end()) return Verdict::kNew;
  const Window& window = found->second;
  if (sequence < window.oldest) return Verdict::kLate;
  if (sequence >= window.oldest + kWindow) return Verdict::kNew;
  return window.applied.test(sequence % kWindow) ? Verdict::kApplied : Verdict::kNew;
}

WriterWindows::Window& WriterWindows::touch(uint64_t client) {
  auto [found, is_new] = windows_.try_emplace(client);
  if (is_new) {
    found->second.age = by_age_.insert(by_age_.end(), client);
    if (windows_.size() > clients_max_) {
      windows_.erase(by_age_.front());
      by_age_.pop_front();
    }
  } else {
    by_age_.splice(by_age_.end(), by_age_, found->second.age);
  }
  return found->second;
}

void WriterWindows::advance(Window& window, uint64_t oldest) {
  if (oldest <= window.oldest) return;
  if (oldest - window.oldest >= kWindow) {
    window.applied.reset();
  } else {
    for (uint64_t s = window.oldest; s < oldest; ++s) window.applied.reset(s % kWindow);
  }
  window.oldest = oldest;
}

WriterWindows::Verdict WriterWindows::admit(uint64_t client, uint64_t sequence,
                                            uint64_t oldest_unresolved) {
  if (client == 0) return Verdict::kNew;
  CHECK(oldest_unresolved <= sequence && sequence - oldest_unresolved < kWindow);
  const Verdict verdict = look(client, sequence);
  Window& window = touch(client);
  advance(window, oldest_unresolved);
  if (verdict == Verdict::kNew) window.applied.set(sequence % kWindow);
  return verdict;
}

std::vector<WriterWindows::Writer> WriterWindows::save() const {
  std::vector<Writer> writers;
  writers.reserve(by_age_.size());
  for (uint64_t client : by_age_) {
    const Window& window = windows_.at(client);
    Writer writer{.client = client, .oldest_unresolved = window.oldest};
    for (uint64_t s = window.oldest; s < window.oldest + kWindow; ++s) {
      if (window.applied.test(s % kWindow)) writer.applied.push_back(s);
    }
    writers.push_back(std::move(writer));
  }
  return writers;
}

Status WriterWindows::load(const std::vector<Writer>& writers) {
  windows_.clear();
  by_age_.clear();
  for (const Writer& writer : writers) {
    Window& window = touch(writer.client);
    window.oldest = writer.oldest_unresolved;
    for (uint64_t s : writer.applied) {
      if (s < window.oldest || s >= window.oldest + kWindow) {
        return error(Errc::kCorrupt, "a snapshot's window of a client's writes is too wide");
      }
      window.applied.set(s % kWindow);
    }
  }
  return ok();
}

}  // namespace cairn::chunkserver
