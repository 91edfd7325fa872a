#pragma once

/// KILN_SANITIZED is defined in builds with a sanitizer: their runtime has its own `operator new` and
/// `pthread_create`, which a test may not replace.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KILN_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define KILN_SANITIZED
#endif
#endif
