from .moving import pull as pull, push as push
